// Counts statements by their first word, and remembers how many there were. Direct form of the
// ABI, with Go's own compiler and runtime, no library.
package main

import (
	"strconv"
	"strings"
	"unsafe"
)

const (
	verdictContinue = 0
	levelInfo       = 2
	headerBytes     = 5
	countBytesMax   = 20
	wordBytesMax    = 20
)

const manifest = `{
  "abi": 1, "name": "statements", "version": "1.0.0",
  "hooks": [
    { "name": "onTrafficFromClient", "messages": ["Query", "Parse"] }, { "name": "onClosed" }
  ],
  "metrics": [{
    "name": "statements_seen_total", "type": "counter",
    "help": "Statements, by their first word", "labels": ["word"]
  }]
}`

// What the gateway grants us; the names are those of the ABI.

//go:wasmimport postern output
func hostOutput(at unsafe.Pointer, length uint32)

//go:wasmimport postern log
func hostLog(level uint32, at unsafe.Pointer, length uint32)

//go:wasmimport postern kv_get
func hostGet(key unsafe.Pointer, keyLength uint32, at unsafe.Pointer, room uint32) int32

//go:wasmimport postern kv_set
func hostSet(key unsafe.Pointer, keyLength uint32, at unsafe.Pointer, length, ttlMs uint32) int32

//go:wasmimport postern metric
func hostMetric(id uint32, value float64, labels unsafe.Pointer, length uint32)

// Where a text lies, and how long it is.
func placed(text string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(text)), uint32(len(text))
}

// How many statements there were. The store outlives this instance; our own memory does not.
func seen() int {
	var digits [countBytesMax]byte
	key, keyLength := placed("seen")
	length := hostGet(key, keyLength, unsafe.Pointer(&digits[0]), countBytesMax)
	if length < 0 || length > countBytesMax {
		return 0
	}
	count, _ := strconv.Atoi(string(digits[:length]))
	return count
}

// The first word of a statement; a Parse has the statement's name before it.
func firstWord(message []byte) string {
	text := string(message[headerBytes:])
	if message[0] == 'P' {
		_, text, _ = strings.Cut(text, "\x00")
	}
	isMark := func(one rune) bool { return one < 'A' || one > 'z' || one > 'Z' && one < 'a' }
	text = strings.TrimLeftFunc(text, isMark)
	if end := strings.IndexFunc(text, isMark); end >= 0 {
		text = text[:end]
	}
	// A label is a name: not without end, and not of anybody's choosing.
	switch word := strings.ToLower(text[:min(len(text), wordBytesMax)]); word {
	case "select", "insert", "update", "delete", "begin", "commit", "rollback", "set":
		return word
	}
	return "other"
}

// The same room serves every call; it is kept here, so that the collector leaves it alone.
var input []byte

//go:wasmexport postern_alloc
func posternAlloc(length uint32) unsafe.Pointer {
	if uint32(len(input)) < length {
		input = make([]byte, 2*length)
	}
	return unsafe.Pointer(&input[0])
}

//go:wasmexport describe
func describe() uint32 {
	hostOutput(placed(manifest))
	return 0
}

//go:wasmexport on_traffic_from_client
func onTrafficFromClient(at unsafe.Pointer, length uint32) uint32 {
	word, wordLength := placed(firstWord(unsafe.Slice((*byte)(at), length)))
	hostMetric(0, 1, word, wordLength)
	key, keyLength := placed("seen")
	count, countLength := placed(strconv.Itoa(seen() + 1))
	hostSet(key, keyLength, count, countLength, 0)
	return verdictContinue
}

//go:wasmexport on_closed
func onClosed(at unsafe.Pointer, length uint32) uint32 {
	line, lineLength := placed("statements so far: " + strconv.Itoa(seen()))
	hostLog(levelInfo, line, lineLength)
	return verdictContinue
}

func main() {}
