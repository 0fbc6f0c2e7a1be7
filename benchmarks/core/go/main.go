// Command gobench runs one row of the core's benchmarks on Go's goroutines, channels, select and
// contexts: what the row of the same name in the C program does on pygostop's.
//
// Usage: gobench ROW SCALE SAMPLES [SIZE]. The number of workers is GOMAXPROCS. Each line printed is a key
// and a number: one sample. SCALE divides the number of repetitions.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"time"
)

// run is one invocation: how much to do, how often.
type run struct {
	scale   int
	samples int
	size    int // of a row that can be of several; 0: its own
}

// sized gives the size asked for, else n.
func (r run) sized(n int) int {
	if r.size > 0 {
		return r.size
	}
	return n
}

// times gives n divided by the scale, at least 1.
func (r run) times(n int) int {
	if n/r.scale < 1 {
		return 1
	}
	return n / r.scale
}

// each measures body once unrecorded, to warm up, then once a sample, and prints nanoseconds for one
// of the n things that body does.
func (r run) each(n int, body func(n int)) {
	r.timed(func() float64 {
		start := time.Now()
		body(n)
		return float64(time.Since(start).Nanoseconds()) / float64(n)
	})
}

// timed is each for a body that takes its own time.
func (r run) timed(body func() float64) {
	body()
	for i := 0; i < r.samples; i++ {
		say("value", body())
	}
}

func say(key string, value float64) {
	fmt.Printf("%s %.6g\n", key, value)
}

var rows = map[string]func(run){
	"switch":          rowSwitch,
	"spawn_batch":     rowSpawnBatch,
	"spawn_join":      rowSpawnJoin,
	"round_trip":      rowRoundTrip,
	"buffered":        rowBuffered,
	"four_by_four":    rowFourByFour,
	"select2":         rowSelect2,
	"select4":         rowSelect4,
	"select16":        rowSelect16,
	"cancel_parked":   rowCancelParked,
	"cancel_children": rowCancelChildren,
	"cancel_tasks":    rowCancelTasks,
	"sieve":           rowSieve,
	"skynet":          rowSkynet,
	"parked_memory":   rowParkedMemory,
	"checkpoint":      rowCheckpoint,
	"cancel_latency":  rowCancelLatency,
	"digest":          rowDigest,
}

func main() {
	if len(os.Args) != 4 && len(os.Args) != 5 {
		names := make([]string, 0, len(rows))
		for name := range rows {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: gobench ROW SCALE SAMPLES [SIZE]; rows:", names)
		os.Exit(2)
	}
	row, known := rows[os.Args[1]]
	scale, scaleErr := strconv.Atoi(os.Args[2])
	samples, samplesErr := strconv.Atoi(os.Args[3])
	size := 0
	if len(os.Args) == 5 {
		size, _ = strconv.Atoi(os.Args[4])
	}
	if !known || scaleErr != nil || samplesErr != nil || scale < 1 || samples < 1 {
		fmt.Fprintln(os.Stderr, "gobench: no such row, or SCALE or SAMPLES is no number above 0:", os.Args[1:])
		os.Exit(2)
	}
	row(run{scale, samples, size})
}
