package analysis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// percent is a share as people read it: "4.2 %".
func percent(share float64) string {
	f := share * 100
	switch {
	case f >= 1:
		return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0") + " %"
	default:
		return strconv.FormatFloat(f, 'g', 2, 64) + " %"
	}
}

// seconds is a latency as people read it.
func seconds(f float64) string {
	if math.IsInf(f, 1) {
		return "more than the edge tells apart"
	}
	d := time.Duration(f * float64(time.Second))
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

func cores(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + " cores" }

func mebibytes(f float64) string { return strconv.FormatFloat(f/(1<<20), 'f', 1, 64) + " MiB" }

func plain(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }

func times(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
