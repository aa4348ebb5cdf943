/** What a plugin prints becomes records: hclog's lines, Go's panics, and everything else. */
import { describe, expect, test } from 'bun:test'
import {
  LINE_CHARACTERS_MAX,
  Lines,
  recordReader,
  writeRecord,
} from '../../../src/plugins/grpc/log.ts'
import { KeptLog } from '../../fixtures/grpc/surroundings.ts'

function linesOf(...chunks: (string | Uint8Array)[]): [string, boolean][] {
  const taken: [string, boolean][] = []
  const lines = new Lines((line, whole) => taken.push([line, whole]))
  for (const chunk of chunks) lines.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  lines.end()
  return taken
}

describe('lines', () => {
  test('are found wherever the stream is cut, also inside a character', () => {
    const bytes = Buffer.from('erste Zeile\nzweite Zähl\r\n\nletzte')
    const whole = linesOf(bytes)
    expect(whole.map(([line]) => line)).toEqual(['erste Zeile', 'zweite Zähl', '', 'letzte'])
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(linesOf(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(whole)
    }
  })

  test('too long for one record come in pieces, and the next line is whole again', () => {
    const long = 'x'.repeat(2 * LINE_CHARACTERS_MAX + 10)
    for (const chunks of [[`${long}\nnext\n`], [long, '\nnext\n']]) {
      const taken = linesOf(...chunks)
      expect(taken.map(([line, whole]) => [line.length, whole])).toEqual([
        [LINE_CHARACTERS_MAX, false],
        [LINE_CHARACTERS_MAX, false],
        [10, false],
        [4, true],
      ])
    }
  })
})

describe('records', () => {
  const read = (line: string) => recordReader()(line, true)

  test("have hclog's level and message, and its other keys as fields", () => {
    const line =
      '{"@level":"info","@message":"loaded","@timestamp":"2026-01-01T00:00:00Z",' +
      '"@module":"auth","file":"x","n":[1]}'
    expect(read(line)).toEqual({
      level: 'info',
      message: 'loaded',
      fields: { timestamp: '2026-01-01T00:00:00Z', module: 'auth', file: 'x', n: [1] },
    })
  })

  test('of JSON without a known level are the raw line at debug', () => {
    for (const line of ['{"level":"info"}', '{"@level":"loud"}', '{broken', '[1]', '{}']) {
      expect(read(line)).toEqual({ level: 'debug', message: line, fields: null })
    }
  })

  test('take the level from a prefix', () => {
    expect(read('[WARN]  disk is slow')).toEqual({
      level: 'warn',
      message: 'disk is slow',
      fields: null,
    })
    expect(read('[LOUD] x')?.level).toBe('debug')
  })

  test('of a panic and all plain lines behind it are errors', () => {
    const reader = recordReader()
    const levels = ['before', 'panic: nil', 'goroutine 1', '[INFO] x', '\tmain.go:5'].map(
      (line) => reader(line, true)?.level,
    )
    expect(levels).toEqual(['debug', 'error', 'error', 'info', 'error'])
    expect(read('fatal error: all goroutines are asleep')?.level).toBe('error')
  })

  test('of blank lines are none, and of pieces are their text', () => {
    expect(read('  ')).toBeNull()
    expect(recordReader()('panic: piece', false)).toEqual({
      level: 'debug',
      message: 'panic: piece',
      fields: null,
    })
  })

  test('cannot forge our own keys', () => {
    const log = new KeptLog()
    const record = read(
      '{"@level":"warn","@message":"m","plugin":"other","level":60,"__proto__":{}}',
    )
    if (record !== null) writeRecord(log.logger, 'tried', record)
    expect(log.records).toHaveLength(1)
    expect(log.records[0]).toMatchObject({
      level: 40,
      msg: 'm',
      plugin: 'tried',
      fields: { plugin: 'other', level: 60 },
    })
  })
})
