/** What a guest may write to the log, and how much. */
import { describe, expect, test } from 'bun:test'
import { noLimitHits } from '../../../src/plugins/limits.ts'
import { Journal, levelOf } from '../../../src/plugins/wasm/journal.ts'
import { LOG_LINES_FULL_MAX } from '../../../src/plugins/wasm/limits.ts'
import { makeScene } from '../../fixtures/wasm/kit.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

const LIMITS = { logBytesMax: 1000, logLinesMax: 50 }

function journal(level = 'trace', now = () => 0) {
  const scene = makeScene({ level })
  const hits = noLimitHits()
  const own = new Journal(scene.surroundings.log, { limits: LIMITS, hits }, now)
  return { journal: own, lines: scene.lines, hits }
}

describe('a journal', () => {
  test('writes a text as it is and an object with its fields apart', () => {
    const { journal: own, lines } = journal()
    own.write('info', bytes('hello'))
    own.write('warn', bytes('{"message":"m","level":60,"time":1,"msg":"forged"}'))
    expect(lines[0]).toMatchObject({ level: 30, msg: 'hello' })
    expect(lines[1]).toMatchObject({
      level: 40,
      msg: 'm',
      fields: { level: 60, time: 1, msg: 'forged' },
    })
  })

  test('says which levels are written at all', () => {
    const { journal: own } = journal('warn')
    expect(
      ['trace', 'debug', 'info', 'warn', 'error'].filter((_, at) => own.isEnabled(levelOf(at))),
    ).toEqual(['warn', 'error'])
  })

  test('takes for a text what is no object, and what is no UTF-8', () => {
    const { journal: own, lines } = journal()
    own.write('info', bytes('{"message":'))
    own.write('info', bytes('[1]'))
    own.write('info', new Uint8Array([0xff, 0x41]))
    expect(lines.map((line) => line.msg)).toEqual(['{"message":', '[1]', '�A'])
  })

  test('cuts a line that is too long', () => {
    const { journal: own, lines, hits } = journal()
    own.write('info', bytes('x'.repeat(LIMITS.logBytesMax)))
    expect(hits.of('logBytesMax')).toBe(0)
    own.write('info', bytes(`{"message":"${'x'.repeat(LIMITS.logBytesMax)}"}`))
    expect(lines[1]?.msg).toStartWith('{"message":"xx')
    expect(lines[1]?.msg).toEndWith(`… (cut at ${LIMITS.logBytesMax} bytes)`)
    expect(hits.of('logBytesMax')).toBe(1)
  })

  test('drops what one call logs beyond its bytes, but not the next call', () => {
    const { journal: own, lines, hits } = journal()
    const line = bytes('x'.repeat(LIMITS.logBytesMax))
    for (let count = 0; count < LOG_LINES_FULL_MAX; count++) own.write('info', line)
    expect(hits.of('logBytesMax')).toBe(0)
    own.write('info', bytes('y'))
    expect(lines).toHaveLength(LOG_LINES_FULL_MAX)
    expect(hits.of('logBytesMax')).toBe(1)
    own.begin()
    own.write('info', bytes('z'))
    expect(lines.at(-1)?.msg).toBe('z')
  })

  test('writes nothing below its level', () => {
    const { journal: own, lines } = journal('info')
    own.write('debug', bytes('unheard'))
    own.signal('unheard', {})
    expect(lines).toHaveLength(0)
  })

  test('drops lines above the rate, and tells how many when the second is over', () => {
    let now = 0
    const { journal: own, lines, hits } = journal('info', () => now)
    for (let line = 0; line < LIMITS.logLinesMax + 5; line++) own.write('info', bytes('x'))
    expect(lines).toHaveLength(LIMITS.logLinesMax)
    expect(hits.of('logLinesMax')).toBe(5)
    now = 1000
    own.write('info', bytes('next'))
    expect(lines.slice(LIMITS.logLinesMax)).toMatchObject([
      { level: 40, dropped: 5, msg: 'too many log lines' },
      { level: 30, msg: 'next' },
    ])
  })

  test('notes signals at debug and counts them', () => {
    const { journal: own, lines } = journal()
    own.signal('suspicious', { score: 3 })
    own.signal('suspicious', {})
    expect(lines).toMatchObject([
      { level: 20, signal: 'suspicious', count: 1, fields: { score: 3 } },
      { level: 20, signal: 'suspicious', count: 2, fields: {} },
    ])
  })
})

test('levels are named by their numbers, all above the last are errors', () => {
  expect([0, 1, 2, 3, 4, 5, -1].map(levelOf)).toEqual([
    'trace',
    'debug',
    'info',
    'warn',
    'error',
    'error',
    'error',
  ])
})
