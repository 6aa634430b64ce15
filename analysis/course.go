package analysis

import (
	"fmt"

	"davit/compose"
)

// giveUp is how many errors in a row end an analysis.
const giveUp = 4

// course is how one metric fared so far.
type course struct {
	metric compose.Metric
	// block are the requests since the last block that said something, kept those of all
	// blocks that did not fail.
	block, kept sides
	// failed measurements in all and in a row, and what the last one was.
	failed, row int
	failure     string
	// samples are the measurements that had a number, last is the last one.
	samples int
	last    standing
	// errors in a row, and the last.
	errors int
	err    error
}

// requests is true where the metric is judged by what the edge counts.
func (c *course) requests() bool {
	return c.metric.Kind == compose.MetricErrorRate || c.metric.Kind == compose.MetricP99
}

// trouble counts a reading whose source did not answer.
func (c *course) trouble(err error) {
	c.errors, c.err = c.errors+1, err
}

// grow adds requests.
func (c *course) grow(s sides) {
	c.errors = 0
	c.block.plus(s)
	switch st := c.block.judge(c.metric); st.ruling {
	case bad:
		c.fail(st.text)
		c.block = sides{}
	case good:
		c.row = 0
		c.kept.plus(c.block)
		c.block = sides{}
	}
	var whole sides
	whole.plus(c.kept)
	whole.plus(c.block)
	c.last = whole.judge(c.metric)
}

// measure adds a measurement that stands by itself.
func (c *course) measure(st standing) {
	c.errors = 0
	c.last = st
	switch st.ruling {
	case bad:
		c.samples++
		c.fail(st.text)
	case good:
		c.samples++
		c.row = 0
	}
}

func (c *course) fail(text string) {
	c.failed, c.row, c.failure = c.failed+1, c.row+1, text
}

// over reports whether more failed than is tolerated.
func (c *course) over() bool {
	m := c.metric
	return m.FailureLimit >= 0 && c.failed > m.FailureLimit || m.ConsecutiveFailures > 0 && c.row >= m.ConsecutiveFailures
}

// standing is what the metric comes to as it is now.
func (c *course) standing() standing {
	switch {
	case c.over():
		return standing{bad, c.failure + c.counted()}
	case c.requests():
		return c.last
	case c.last.ruling == bad:
		return standing{doubtful, c.last.text + c.counted()}
	case c.last.ruling == good && c.samples < c.metric.MinSamples:
		return standing{scant, fmt.Sprintf("%s: %s so far, it takes %d", c.last.text, times(c.samples, "reading"), c.metric.MinSamples)}
	}
	return c.last
}

// counted says how often the metric failed, where that is more than once.
func (c *course) counted() string {
	if c.failed < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d measurements failed, %d in a row)", c.failed, c.row)
}
