package docs_test

import (
	"os"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
)

// TestMain has each program that tests need built once.
func TestMain(m *testing.M) { os.Exit(testengine.BuildOnce(m.Run)) }
