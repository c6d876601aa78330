package main

import (
	"context"
	"net/http"

	"github.com/docker/go-plugins-helpers/network"
	"github.com/docker/go-plugins-helpers/sdk"

	"github.com/mcpnet/mcpnet/internal/operator"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/version"
)

// serveOperator answers the operator's command on the driver's socket, which root alone may open.
func serveOperator(h *network.Handler, d *driver) {
	answer := func(path string, f func(context.Context, *resident.Front) (any, error)) {
		h.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			var result any
			err := d.call(path, func(ctx context.Context, e *resident.Front) (err error) {
				result, err = f(ctx, e)
				return err
			})
			if err != nil {
				sdk.EncodeResponse(w, network.NewErrorResponse(err.Error()), true)
				return
			}
			sdk.EncodeResponse(w, result, false)
		})
	}
	answer(operator.StatusPath, func(ctx context.Context, e *resident.Front) (any, error) {
		s, err := e.Status(ctx)
		s.Version = version.String()
		return s, err
	})
	answer(operator.PlanPath, func(ctx context.Context, e *resident.Front) (any, error) {
		steps, err := e.Plan(ctx)
		return report.Plan{Schema: report.PlanSchema, Steps: steps}, err
	})
}
