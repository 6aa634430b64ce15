package main

import (
	"context"
	"fmt"

	"davit/analysis"
)

// prometheusCheck looks whether the servers that analyses may ask answer queries.
func (d *doctor) prometheusCheck(ctx context.Context) []finding {
	client := analysis.NewPrometheus(d.config.Prometheus)
	defer client.Close()
	var found []finding
	for _, s := range d.config.Prometheus {
		f := finding{Check: "prometheus", Level: levelOK, Seen: s.Name + " answers queries"}
		a := client.Ask(ctx, s.Name, "vector(1)")
		if a.Err == nil && a.Value != 1 {
			a.Err = fmt.Errorf("%s answers as no Prometheus does: vector(1) is %v", s.Name, a.Value)
		}
		if a.Err != nil {
			f.Level, f.Seen, f.Advice = levelFail, a.Err.Error(), "see that url is where its api/v1/query is found, and that token_file holds what it takes"
		}
		found = append(found, f)
	}
	return found
}
