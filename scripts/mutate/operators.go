package main

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// operators make mutations of a node; what it stands in comes with it, outermost first.
var operators = []func(f *finder, n ast.Node, above []ast.Node){
	negate, compare, halve, drop, nilError, constant, element, skipCase,
}

// negate turns a condition round.
func negate(f *finder, n ast.Node, _ []ast.Node) {
	switch n := n.(type) {
	case *ast.IfStmt:
		f.replace("negate", n.Cond, "!("+f.text(n.Cond)+")")
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			f.replace("negate", n, f.text(n.X))
		}
	}
}

// compared is what a comparison becomes.
var compared = map[token.Token]string{token.EQL: "!=", token.NEQ: "==", token.LSS: "<=", token.LEQ: "<",
	token.GTR: ">=", token.GEQ: ">"}

// compare swaps a comparison. Where it is the whole condition, to negate it is the same for equality.
func compare(f *finder, n ast.Node, above []ast.Node) {
	b, ok := n.(*ast.BinaryExpr)
	if !ok || compared[b.Op] == "" {
		return
	}
	whole, isIf := last(above).(*ast.IfStmt)
	if isIf && whole.Cond == n && (b.Op == token.EQL || b.Op == token.NEQ) {
		return
	}
	f.note("compare", b.OpPos, b.OpPos+token.Pos(len(b.Op.String())), compared[b.Op])
}

// halve leaves one side of a condition, of a set of flags or of a sum away.
func halve(f *finder, n ast.Node, _ []ast.Node) {
	b, ok := n.(*ast.BinaryExpr)
	if !ok {
		return
	}
	switch b.Op {
	case token.LAND, token.LOR, token.OR:
		f.replace("halve", b, "("+f.text(b.X)+")")
		f.replace("halve", b, "("+f.text(b.Y)+")")
	case token.ADD, token.SUB:
		if isNumber(b.X) || isNumber(b.Y) {
			f.replace("halve", b, "("+f.text(b.X)+")")
		}
	}
}

func isNumber(e ast.Expr) bool {
	l, ok := e.(*ast.BasicLit)
	return ok && l.Kind == token.INT
}

// drop never runs a statement. It still stands there, so that what it uses is used.
func drop(f *finder, n ast.Node, above []ast.Node) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE {
			return
		}
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt, *ast.GoStmt:
	default:
		return
	}
	if isHeader(n, last(above)) {
		return
	}
	f.replace("drop", n, "if false { "+f.text(n)+" }")
}

// isHeader tells whether a statement stands in the head of another one.
func isHeader(n, in ast.Node) bool {
	switch in := in.(type) {
	case *ast.IfStmt:
		return in.Init == n
	case *ast.ForStmt:
		return in.Init == n || in.Post == n
	case *ast.SwitchStmt:
		return in.Init == n
	case *ast.TypeSwitchStmt:
		return in.Init == n || in.Assign == n
	case *ast.CommClause:
		return in.Comm == n
	}
	return false
}

// nilError returns no error where there is one.
func nilError(f *finder, n ast.Node, above []ast.Node) {
	r, ok := n.(*ast.ReturnStmt)
	if !ok || len(r.Results) == 0 || !givesError(above) {
		return
	}
	err := r.Results[len(r.Results)-1]
	if name, ok := err.(*ast.Ident); ok && name.Name == "nil" || len(r.Results) == 1 && results(above) > 1 {
		return
	}
	if call, ok := err.(*ast.CallExpr); ok && len(r.Results) == 1 && results(above) == 1 {
		f.replace("no error", err, "func() error { _ = "+f.text(call)+"; return nil }()")
		return
	}
	f.replace("no error", err, "nil")
}

func givesError(above []ast.Node) bool {
	t := function(above)
	if t == nil || t.Results == nil {
		return false
	}
	name, ok := t.Results.List[len(t.Results.List)-1].Type.(*ast.Ident)
	return ok && name.Name == "error"
}

func results(above []ast.Node) int { return function(above).Results.NumFields() }

// function is the type of the innermost function.
func function(above []ast.Node) *ast.FuncType {
	for _, n := range slices.Backward(above) {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return n.Type
		case *ast.FuncLit:
			return n.Type
		}
	}
	return nil
}

// constant makes a number another one, and true false.
func constant(f *finder, n ast.Node, above []ast.Node) {
	switch n := n.(type) {
	case *ast.BasicLit:
		if _, tag := last(above).(*ast.Field); n.Kind != token.INT || tag {
			return
		}
		if value, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			f.replace("constant", n, strconv.FormatInt(value+1, 10))
		}
	case *ast.Ident:
		if other := map[string]string{"true": "false", "false": "true"}[n.Name]; other != "" {
			f.replace("constant", n, other)
		}
	}
}

// element leaves out one element of a literal, or of what is appended.
func element(f *finder, n ast.Node, _ []ast.Node) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		for i := range n.Elts {
			f.leaveOut(n.Elts, i, n.Rbrace)
		}
	case *ast.CallExpr:
		name, ok := n.Fun.(*ast.Ident)
		if !ok || name.Name != "append" || n.Ellipsis.IsValid() {
			return
		}
		for i := 1; i < len(n.Args); i++ {
			f.leaveOut(n.Args, i, n.Rparen)
		}
	}
}

// leaveOut notes that an element of a list is left out, with its comma.
func (f *finder) leaveOut(list []ast.Expr, i int, end token.Pos) {
	if i+1 < len(list) {
		f.note("element", list[i].Pos(), list[i+1].Pos(), "")
		return
	}
	from := list[i].Pos()
	if i > 0 {
		from = list[i-1].End()
	}
	f.note("element", from, end, "")
}

// skipCase leaves a case out, so that the default is taken, or nothing is.
func skipCase(f *finder, n ast.Node, _ []ast.Node) {
	if c, ok := n.(*ast.CaseClause); ok && c.List != nil {
		f.replace("case", c, "")
	}
}

// isArid tells of what is no behaviour that a test could ask for: log lines, what closes files and contexts when a
// function ends, texts for people.
func isArid(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec, *ast.TypeSpec:
		return true
	case *ast.ExprStmt:
		return isLog(n.X)
	case *ast.DeferStmt:
		return strings.HasPrefix(lastName(n.Call.Fun), "Close") || lastName(n.Call.Fun) == "cancel"
	case *ast.FuncDecl:
		return n.Name.Name == "String" || n.Name.Name == "GoString"
	}
	return false
}

func isLog(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	for s, ok := call.Fun.(*ast.SelectorExpr); ok; s, ok = s.X.(*ast.SelectorExpr) {
		name, plain := s.X.(*ast.Ident)
		if strings.EqualFold(s.Sel.Name, "log") || plain && (strings.EqualFold(name.Name, "log") || name.Name == "slog") {
			return true
		}
	}
	return false
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func last(above []ast.Node) ast.Node {
	if len(above) == 0 {
		return nil
	}
	return above[len(above)-1]
}
