// Rows of contexts and of stopping.
package main

import (
	"context"
	"sort"
	"sync"
	"time"
)

const many = 10_000

// parked starts n goroutines, each of which waits for the context that of gives it, and gives what
// waits until all of them have ended.
func parked(n int, of func() context.Context) *sync.WaitGroup {
	waiting, ended := new(sync.WaitGroup), new(sync.WaitGroup)
	waiting.Add(n)
	ended.Add(n)
	for i := 0; i < n; i++ {
		ctx := of()
		go func() {
			waiting.Done()
			<-ctx.Done()
			ended.Done()
		}()
	}
	waiting.Wait()
	time.Sleep(2 * time.Millisecond) // from waiting.Done to parked
	return ended
}

// From the cancel of one context until the 10,000 goroutines that wait for it have ended.
func rowCancelParked(r run) {
	r.timed(func() float64 {
		ctx, cancel := context.WithCancel(context.Background())
		ended := parked(many, func() context.Context { return ctx })
		start := time.Now()
		cancel()
		ended.Wait()
		return float64(time.Since(start).Nanoseconds())
	})
}

// The cancel of a context with 10,000 children that nobody waits for: the call alone.
func rowCancelChildren(r run) {
	r.timed(func() float64 {
		parent, cancel := context.WithCancel(context.Background())
		children := make([]context.Context, many)
		cancels := make([]context.CancelFunc, many)
		for i := range children {
			children[i], cancels[i] = context.WithCancel(parent)
		}
		start := time.Now()
		cancel()
		elapsed := time.Since(start)
		for _, cancelChild := range cancels {
			cancelChild()
		}
		return float64(elapsed.Nanoseconds())
	})
}

// The cancel of a context with 10,000 children, in each of which a goroutine waits, until all have
// ended.
func rowCancelTasks(r run) {
	r.timed(func() float64 {
		parent, cancel := context.WithCancel(context.Background())
		cancels := make([]context.CancelFunc, 0, many)
		ended := parked(many, func() context.Context {
			child, cancelChild := context.WithCancel(parent)
			cancels = append(cancels, cancelChild)
			return child
		})
		start := time.Now()
		cancel()
		ended.Wait()
		elapsed := time.Since(start)
		for _, cancelChild := range cancels {
			cancelChild()
		}
		return float64(elapsed.Nanoseconds())
	})
}

// A loop that polls a context's done channel and does nothing else, the loop included.
func rowCheckpoint(r run) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := r.times(100_000_000)
	done := ctx.Done()
	r.timed(func() float64 {
		start := time.Now()
		for i := 0; i < n; i++ {
			select {
			case <-done:
				return 0
			default:
			}
		}
		polled := time.Since(start)
		return float64(polled.Nanoseconds()) / float64(n)
	})
}

// From the cancel of a busy goroutine that polls its context to its return.
func rowCancelLatency(r run) {
	n := r.times(1000)
	latencies := make([]float64, 0, n)
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		began, returned := make(chan struct{}), make(chan time.Time, 1)
		go func() {
			close(began)
			for done := ctx.Done(); ; {
				select {
				case <-done:
					returned <- time.Now()
					return
				default:
				}
			}
		}()
		<-began
		time.Sleep(200 * time.Microsecond)
		start := time.Now()
		cancel()
		latencies = append(latencies, float64((<-returned).Sub(start).Nanoseconds()))
	}
	sort.Float64s(latencies)
	say("p50", latencies[n/2])
	say("p99", latencies[n*99/100])
}
