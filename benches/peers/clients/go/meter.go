package main

import (
	"encoding/json"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A meter counts the records after a warm-up, and the time that they take.
type meter struct {
	measuring bool
	limit     int64
	result    result

	start          time.Time
	processorStart time.Duration
}

type result struct {
	Records          int64   `json:"records"`
	Bytes            int64   `json:"bytes"`
	Checksum         int64   `json:"checksum"`
	Seconds          float64 `json:"seconds"`
	ProcessorSeconds float64 `json:"processor_seconds"`
}

func newMeter() *meter {
	return &meter{limit: number("WARM_UP_RECORDS")}
}

// count counts a record. It ends the process after the last one.
func (m *meter) count(data []byte) {
	m.result.Records++
	m.result.Bytes += int64(len(data))
	m.result.Checksum += int64(data[0]) + int64(data[len(data)/2]) + int64(data[len(data)-1])
	if m.result.Records == m.limit {
		m.reachLimit()
	}
}

func (m *meter) reachLimit() {
	if !m.measuring {
		*m = meter{
			measuring:      true,
			limit:          number("MEASURED_RECORDS"),
			start:          time.Now(),
			processorStart: processorTime(),
		}
		return
	}
	m.result.Seconds = time.Since(m.start).Seconds()
	m.result.ProcessorSeconds = (processorTime() - m.processorStart).Seconds()
	must(json.NewEncoder(os.Stdout).Encode(m.result))
	// Until then, the driver reads how much memory the process has used.
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func number(variable string) int64 {
	value, err := strconv.ParseInt(os.Getenv(variable), 10, 64)
	must(err)
	return value
}

// processorTime returns the processor time that all threads of this process have taken.
func processorTime() time.Duration {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
