package register

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/part"
)

// TestEditors: every engine whose configuration is edited has an editor, and no other engine has.
func TestEditors(t *testing.T) {
	for _, e := range part.Edited {
		if Editors[e.Part()] == nil {
			t.Errorf("no editor for %s", e)
		}
	}
	if len(Editors) != len(part.Edited) {
		t.Errorf("%d editors for %v", len(Editors), part.Edited)
	}
}
