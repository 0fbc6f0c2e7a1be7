// check: whether there is, for each history that record.c wrote down, an order of its operations that a
// channel and a context could have gone through one after the other, and in which none comes before one
// that had returned before it was called. The search is Porcupine's.
//
//	gostop-histories 1000 1 | check            status 1, and the history, where there is none
//	gostop-histories 1000 1 | check -broken KIND    makes each history wrong that can be made so; status 1
//	                                                where as much as one of those is still explained.
//
// KIND is value: what was received had never been sent; twice: what a select received comes out once more;
// denied: a select that sent says that it did not; done: a select says that a context is done that nobody
// cancelled.
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

// The cases of a select, as record.c names them: "select:r0s1c2".
type selectCase struct {
	kind byte
	on   int
}

func (o operation) cases() []selectCase {
	var cases []selectCase
	text, is := strings.CutPrefix(o.name, "select:")
	for i := 0; is && i < len(text); i += 2 {
		cases = append(cases, selectCase{text[i], int(text[i+1] - '0')})
	}
	return cases
}

// The case that happened; kind 0 where none did.
func (o operation) chosen() selectCase {
	if cases := o.cases(); o.code >= 0 && o.code < len(cases) {
		return cases[o.code]
	}
	return selectCase{}
}

// Whether a case could not go on.
func (s state) waits(c selectCase) bool {
	if c.kind == 'c' {
		return s.cause[c.on] == 0
	}
	return s.stopped(eAgain, c.on, -1, c.kind == 's')
}

func (s state) selected(o operation) (bool, state) {
	switch c := o.chosen(); c.kind {
	case 'r':
		if o.value < 0 {
			return s.closed[c.on] && s.queue[c.on] == "", s
		}
		return s.received(c.on, o.value)
	case 's':
		return s.sent(c.on, o.b)
	case 'c':
		return s.cause[c.on] != 0, s
	}
	switch o.code {
	case eClosed:
		for _, c := range o.cases() {
			if c.kind == 's' && s.closed[c.on] {
				return true, s
			}
		}
	case eAgain:
		for _, c := range o.cases() {
			if !s.waits(c) {
				return false, s
			}
		}
		return true, s
	case eTimedout:
		return true, s
	}
	return false, s
}

func (s state) step(o operation) (bool, state) {
	if o.cases() != nil {
		return s.selected(o)
	}
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
	case o.chosen().kind == 's':
		return o.chosen().on, o.b, true
	}
	return 0, 0, false
}

func receives(o operation) (ch, value int, yes bool) {
	switch {
	case (o.name == "recv" || o.name == "try_recv") && o.code == ok:
		return o.a, o.value, true
	case o.chosen().kind == 'r' && o.value >= 0:
		return o.chosen().on, o.value, true
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

func (h *history) find(fits func(operation) bool) *operation {
	for i := range h.lines {
		if fits(h.lines[i]) {
			return &h.lines[i]
		}
	}
	return nil
}

// Makes the history one that nothing explains; false where it has nothing for that.
func (h *history) spoil(kind string) bool {
	received := func(o operation) bool { _, _, yes := receives(o); return yes }
	switch kind {
	case "value":
		o := h.find(received)
		if o != nil {
			o.value += 1000000
		}
		return o != nil
	case "twice":
		o := h.find(func(o operation) bool { return received(o) && o.cases() != nil })
		again := h.find(func(o operation) bool { return o.name == "recv" && o.code != ok })
		if o == nil || again == nil {
			return false
		}
		again.a, again.code, again.value = o.chosen().on, ok, o.value
		return true
	case "denied":
		o := h.find(func(o operation) bool {
			return o.chosen().kind == 's' && h.find(func(by operation) bool {
				_, value, yes := receives(by)
				return yes && value == o.b
			}) != nil
		})
		if o != nil {
			o.code = eTimedout
		}
		return o != nil
	case "done":
		if h.find(func(o operation) bool { return o.name == "cancel" }) != nil {
			return false
		}
		for i := range h.lines {
			for k, c := range h.lines[i].cases() {
				if c.kind == 'c' && h.lines[i].code == eTimedout {
					h.lines[i].code = k
					return true
				}
			}
		}
		return false
	}
	fmt.Fprintf(os.Stderr, "check: -broken %s: it is value, twice, denied or done\n", kind)
	os.Exit(2)
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
	broken := flag.String("broken", "", "how to spoil each history, which must be noticed")
	flag.Parse()
	checked, results := 0, map[string]int{}
	finish := func(h *history) {
		if h == nil || (*broken != "" && !h.spoil(*broken)) {
			return
		}
		checked++
		for _, o := range h.lines {
			name, _, isSelect := strings.Cut(o.name, ":")
			if c := o.chosen(); isSelect && c.kind != 0 {
				results[name+" "+string(c.kind)]++
			} else {
				results[name+" "+strconv.Itoa(o.code)]++
			}
		}
		if h.explained() == (*broken != "") {
			fmt.Printf("check: history %d, capacities %v: explained is %v\n", checked, h.capacity, *broken != "")
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
	if *broken != "" {
		verdict = "spoilt (" + *broken + "), and noticed"
	}
	fmt.Printf("check: %d histories, all %s; %d kinds of results\n", checked, verdict, len(results))
}
