import { expect, test } from 'bun:test'
import { pino } from 'pino'
import { JsonText, writeJsonAsItIs } from '../../src/base/log-json.ts'

function lines() {
  const written: string[] = []
  const log = pino({ base: null, timestamp: false }, { write: (line) => written.push(line) })
  return { log, written }
}

test('a checked text is put into the record as it is, by children too', () => {
  const { log, written } = lines()
  writeJsonAsItIs(log, 'fields')
  log.child({ plugin: 'a' }).info({ fields: new JsonText('{ "b":1 }') }, 'm')
  expect(written).toEqual(['{"level":30,"plugin":"a","fields":{ "b":1 },"msg":"m"}\n'])
})

test('anything else under the same key is written as ever', () => {
  const { log, written } = lines()
  writeJsonAsItIs(log, 'fields')
  const loop: Record<string, unknown> = {}
  loop['self'] = loop
  for (const fields of [{ b: 1 }, 'text', 7, loop]) log.info({ fields }, 'm')
  expect(written.map((line) => JSON.parse(line).fields)).toEqual([
    { b: 1 },
    'text',
    7,
    { self: '[Circular]' },
  ])
})

test('a logger that does not know of it writes the same', () => {
  const { log, written } = lines()
  log.info({ fields: new JsonText('{ "b":1 }') }, 'm')
  expect(JSON.parse(written[0] ?? '')).toMatchObject({ fields: { b: 1 } })
})
