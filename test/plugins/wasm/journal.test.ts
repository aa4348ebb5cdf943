/** What a guest may write to the log, and how much. */
import { describe, expect, test } from 'bun:test'
import { Journal, levelOf } from '../../../src/plugins/wasm/journal.ts'
import { CALL_BYTES_MAX, LOG_LINES_PER_SECOND_MAX } from '../../../src/plugins/wasm/limits.ts'
import { makeScene } from '../../fixtures/wasm/kit.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

function journal(level = 'trace', now = () => 0) {
  const scene = makeScene({ level })
  return { journal: new Journal(scene.surroundings.log, now), lines: scene.lines }
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

  test('takes for a text what is no object, and what is no UTF-8', () => {
    const { journal: own, lines } = journal()
    own.write('info', bytes('{"message":'))
    own.write('info', bytes('[1]'))
    own.write('info', new Uint8Array([0xff, 0x41]))
    expect(lines.map((line) => line.msg)).toEqual(['{"message":', '[1]', '�A'])
  })

  test('cuts what is too long', () => {
    const { journal: own, lines } = journal()
    own.write('info', bytes('x'.repeat(CALL_BYTES_MAX + 1)))
    expect(lines[0]?.msg).toEndWith(`… (cut at ${CALL_BYTES_MAX} bytes)`)
  })

  test('writes nothing below its level', () => {
    const { journal: own, lines } = journal('info')
    own.write('debug', bytes('unheard'))
    own.signal('unheard', {})
    expect(lines).toHaveLength(0)
  })

  test('drops lines above the rate, and tells how many when the second is over', () => {
    let now = 0
    const { journal: own, lines } = journal('info', () => now)
    for (let line = 0; line < LOG_LINES_PER_SECOND_MAX + 5; line++) own.write('info', bytes('x'))
    expect(lines).toHaveLength(LOG_LINES_PER_SECOND_MAX)
    now = 1000
    own.write('info', bytes('next'))
    expect(lines.slice(LOG_LINES_PER_SECOND_MAX)).toMatchObject([
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
