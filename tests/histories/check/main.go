// check: whether there is, for each history that record.c wrote down, an order of its operations that a
// channel and a context could have gone through one after the other, and in which none comes before one
// that had returned before it was called. The search is Porcupine's.
//
//	gostop-histories 1000 1 | check            status 1, and the history, where there is none
//	gostop-histories 1000 1 | check -broken    changes one result in each history that received something; status 1
//	                                           where as much as one of those is still explained
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// The codes of pygostop.h and of select.h.
const (
	ok        = 0
	eCanceled = -1
	eClosed   = -2
	eAgain    = -3
	eTimedout = -4
)

type operation struct {
	name              string
	a, b, code, value int
	line              string
}

const contexts = 3

// Channels of capacity 0 have no state between two calls; a value handed over is in the queue between the
// sender's point and the receiver's, which follows it: handOvers checks that the two calls overlap.
type state struct {
	queue    [2]string // of values, each ended by a comma
	closed   [2]bool
	capacity [2]int
	cause    [contexts]int // 0: not done
}

func (s state) length(ch int) int { return strings.Count(s.queue[ch], ",") }
func (s state) full(ch int) bool  { return s.capacity[ch] > 0 && s.length(ch) >= s.capacity[ch] }

func (s state) sent(ch, value int) (bool, state) {
	if s.closed[ch] || s.full(ch) {
		return false, s
	}
	s.queue[ch] += strconv.Itoa(value) + ","
	return true, s
}

func (s state) received(ch, value int) (bool, state) {
	head := strconv.Itoa(value) + ","
	if !strings.HasPrefix(s.queue[ch], head) {
		return false, s
	}
	s.queue[ch] = s.queue[ch][len(head):]
	return true, s
}

// What a send or a receive that moved nothing needs.
func (s state) stopped(code, ch, scope int, sending bool) bool {
	switch code {
	case eCanceled:
		return scope >= 0 && s.cause[scope] != 0
	case eTimedout:
		return true
	case eClosed:
		return s.closed[ch] && (sending || s.queue[ch] == "")
	case eAgain:
		if sending {
			return !s.closed[ch] && (s.full(ch) || s.capacity[ch] == 0)
		}
		return !s.closed[ch] && s.queue[ch] == ""
	}
	return false
}

func (s state) selected(o operation) (bool, state) {
	switch o.code {
	case 0:
		if o.value < 0 {
			return s.closed[0] && s.queue[0] == "", s
		}
		return s.received(0, o.value)
	case 1:
		return s.sent(1, o.b)
	case 2:
		return s.cause[o.a] != 0, s
	case eClosed:
		return s.closed[1], s
	case eAgain:
		return s.stopped(eAgain, 0, -1, false) && s.stopped(eAgain, 1, -1, true) && s.cause[o.a] == 0, s
	case eTimedout:
		return true, s
	}
	return false, s
}

func (s state) step(o operation) (bool, state) {
	switch o.name {
	case "send", "try_send":
		if o.code == ok {
			return s.sent(o.a, o.b)
		}
		return s.stopped(o.code, o.a, o.value, true), s
	case "recv", "try_recv":
		if o.code == ok {
			return s.received(o.a, o.value)
		}
		return s.stopped(o.code, o.a, o.b, false), s
	case "select":
		return s.selected(o)
	case "close":
		s.closed[o.a] = true
		return true, s
	case "cancel": // of one node; code: whether it was done by this, -1: not known
		first := s.cause[o.a] == 0
		if first {
			s.cause[o.a] = o.b
		}
		return o.code < 0 || first == (o.code == 1), s
	case "err":
		return (o.code != 0) == (s.cause[o.a] != 0) && o.value == s.cause[o.a], s
	}
	panic("no such operation: " + o.line)
}

// A cancel marks the nodes below one after the other before it returns: an operation on each.
func operations(lines []operation, clients []int, times [][2]int64) []porcupine.Operation {
	var all []porcupine.Operation
	for i, o := range lines {
		last := o.a
		if o.name == "cancel" {
			last = contexts - 1
		}
		for node := o.a; node <= last; node++ {
			one := o
			if node != o.a {
				one.a, one.code = node, -1
			}
			all = append(all, porcupine.Operation{
				ClientId: clients[i], Input: one, Call: times[i][0], Return: times[i][1],
			})
		}
	}
	return all
}

func sends(o operation) (ch, value int, yes bool) {
	switch {
	case (o.name == "send" || o.name == "try_send") && o.code == ok:
		return o.a, o.b, true
	case o.name == "select" && o.code == 1:
		return 1, o.b, true
	}
	return 0, 0, false
}

func receives(o operation) (ch, value int, yes bool) {
	switch {
	case (o.name == "recv" || o.name == "try_recv") && o.code == ok:
		return o.a, o.value, true
	case o.name == "select" && o.code == 0 && o.value >= 0:
		return 0, o.value, true
	}
	return 0, 0, false
}

// On a channel without room a send ends only once its value is taken: the two calls overlap.
func handOvers(lines []operation, times [][2]int64, capacity [2]int) bool {
	taken := map[int][2]int64{}
	for i, o := range lines {
		if ch, value, yes := receives(o); yes && capacity[ch] == 0 {
			taken[value] = times[i]
		}
	}
	for i, o := range lines {
		if ch, value, yes := sends(o); yes && capacity[ch] == 0 {
			by, was := taken[value]
			if !was || by[0] > times[i][1] || times[i][0] > by[1] {
				return false
			}
		}
	}
	return true
}

type history struct {
	capacity [2]int
	lines    []operation
	clients  []int
	times    [][2]int64
}

func (h *history) explained() bool {
	if !handOvers(h.lines, h.times, h.capacity) {
		return false
	}
	model := porcupine.Model{
		Init: func() interface{} { return state{capacity: h.capacity} },
		Step: func(s, in, out interface{}) (bool, interface{}) {
			yes, next := s.(state).step(in.(operation))
			return yes, next
		},
	}
	switch porcupine.CheckOperationsTimeout(model, operations(h.lines, h.clients, h.times), time.Minute) {
	case porcupine.Ok:
		return true
	case porcupine.Unknown:
		fmt.Fprintln(os.Stderr, "check: the search took longer than a minute")
		os.Exit(2)
	}
	return false
}

// The first value that was received becomes one that was never sent.
func (h *history) spoil() bool {
	for i, o := range h.lines {
		if _, _, yes := receives(o); yes {
			h.lines[i].value += 1000000
			return true
		}
	}
	return false
}

func (h *history) add(line string) {
	var o operation
	var client int
	var t [2]int64
	_, err := fmt.Sscan(line, &client, &t[0], &t[1], &o.name, &o.a, &o.b, &o.code, &o.value)
	if err != nil {
		fmt.Fprintf(os.Stderr, "check: %q: %v\n", line, err)
		os.Exit(2)
	}
	o.line = line
	h.lines = append(h.lines, o)
	h.clients = append(h.clients, client)
	h.times = append(h.times, t)
}

func main() {
	broken := flag.Bool("broken", false, "spoil each history, which must be noticed")
	flag.Parse()
	checked, results := 0, map[string]int{}
	finish := func(h *history) {
		if h == nil || (*broken && !h.spoil()) {
			return
		}
		checked++
		for _, o := range h.lines {
			results[o.name+" "+strconv.Itoa(o.code)]++
		}
		if h.explained() == *broken {
			fmt.Printf("check: history %d, capacities %v: explained is %v\n", checked, h.capacity, *broken)
			for _, o := range h.lines {
				fmt.Println(o.line)
			}
			os.Exit(1)
		}
	}
	var current *history
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		if rest, begins := strings.CutPrefix(scanner.Text(), "history "); begins {
			finish(current)
			current = &history{}
			fmt.Sscan(rest, &current.capacity[0], &current.capacity[1])
		} else {
			current.add(scanner.Text())
		}
	}
	finish(current)
	if checked == 0 {
		fmt.Fprintln(os.Stderr, "check: no histories came")
		os.Exit(2)
	}
	verdict := "explained"
	if *broken {
		verdict = "spoilt, and noticed"
	}
	fmt.Printf("check: %d histories, all %s; %d kinds of results\n", checked, verdict, len(results))
}
