/** What the SDK has beside SQL and messages: settings, metrics, log, stores, refusals, memory. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import {
  carried,
  makeScene,
  makeSession,
  makeSpec,
  message,
  modulePath,
  query,
} from '../../fixtures/wasm/kit.ts'
import { type Asked, startAsked } from '../../fixtures/wasm/sdk.ts'
import { startup } from '../../kit/frontend.ts'

const ROOT = join(import.meta.dir, '../../..')

let asked: Asked
beforeAll(async () => {
  const config = {
    text: 'hello',
    flag: true,
    integer: -12,
    number: 1.5,
    texts: ['a', 'é"\\\n', '\u{1F600}'],
  }
  asked = await startAsked('sdk-parts', { config })
})

const ask = (question: string, rest: string | Uint8Array = '', session = makeSession()): unknown =>
  JSON.parse(
    Buffer.from(
      asked.ask(Buffer.concat([Buffer.from(question), Buffer.from(rest)]), session) ?? [],
    ).toString(),
  )

/** The verdict as it is, where it is not an answer. */
async function verdictOf(input: string | Uint8Array): Promise<unknown> {
  const plugin = createWasmPlugin(makeSpec(modulePath('sdk-parts')), makeScene().surroundings)
  await plugin.start()
  return plugin.steps.onTrafficFromClient?.decide(makeSession(), Buffer.from(input), carried())
}

test('the manifest is what it was made of', () => {
  expect(asked.scene.declared[0]?.specs).toEqual([
    expect.objectContaining({ name: 'seen_total', type: 'counter', labels: ['kind', 'user'] }),
    expect.objectContaining({ name: 'size', type: 'gauge', labels: [] }),
    expect.objectContaining({ name: 'time', type: 'histogram', buckets: [0.5, 1] }),
  ])
})

test('settings have their types, and defaults where there are none', () => {
  expect(ask('c')).toEqual([
    ...['hello', 'none', true, true, -12, 7, 1.5, 0.5, 2],
    ...['a', 'é"\\\n', '\u{1F600}'],
  ])
})

test('a refusal says what was given', async () => {
  expect(await verdictOf('d')).toMatchObject({
    kind: 'deny',
    code: '53400',
    message: 'too "many"',
    detail: 'since\nthen',
  })
  const text = Buffer.concat([Buffer.from('f"\\é\n'), Buffer.from([0xff, 0xc3])])
  expect(await verdictOf(text)).toMatchObject({
    kind: 'deny',
    code: '42501',
    message: 'not "\\é\n\uFFFD\uFFFD',
    hint: 'wait -30 s',
  })
})

test('metrics are recorded with their labels, whatever is in them', () => {
  const from = asked.scene.recorded.length
  asked.ask(Buffer.from('ma\nb'))
  asked.ask(Buffer.from(`m${'x'.repeat(100_000)}`))
  expect(asked.scene.recorded.slice(from, from + 3)).toEqual([
    { id: 0, value: 1, labels: ['a b', 'alice'] },
    { id: 1, value: 2.5, labels: [] },
    { id: 2, value: 0.25, labels: [] },
  ])
  expect(asked.scene.recorded[from + 3]?.labels).toEqual(['x'.repeat(256), 'alice'])
})

test('a line of the log has its fields, whatever is in them', () => {
  asked.ask(Buffer.concat([Buffer.from('l"\\'), Buffer.from([0, 0x1f, 0xff, 0xed, 0xa0, 0x80])]))
  expect(asked.scene.lines.at(-1)).toMatchObject({
    msg: 'a "line"',
    fields: {
      bytes: '"\\\0\x1f\uFFFD\uFFFD\uFFFD\uFFFD',
      rows: -5,
      flag: true,
      ratio: 0.5,
      text: 'é',
      list: [],
    },
  })
})

test('what is kept comes back, and what is not to be kept is refused without a trap', () => {
  const user = 'a"b\\é'
  expect(ask('s', 'value', makeSession({ user }))).toEqual([
    ...[true, 'value', true, -5, true, 9],
    ...[true, 'value', true, true, true, 2 ** 40],
    ...[user, null, '127.0.0.1:50000'],
    ...[false, false, true],
  ])
})

describe('how strings are to be read', () => {
  const status = (name: string, value: string): Uint8Array => message('S', `${name}\0${value}\0`)
  test('is kept with the session, as the server tells', () => {
    const session = makeSession()
    expect(ask('q', '', session)).toEqual([false, true, false])
    const off = status('standard_conforming_strings', 'off')
    expect(ask('q', off, session)).toEqual([true, false, false])
    expect(ask('q', status('client_encoding', 'sjis'), session)).toEqual([true, false, true])
    expect(ask('q', status('client_encoding', 'UTF8'), session)).toEqual([true, false, false])
    expect(ask('q', status('TimeZone', 'UTC'), session)).toEqual([false, false, false])
    expect(ask('q', '', makeSession())).toEqual([false, true, false])
    const on = status('standard_conforming_strings', 'on')
    expect(ask('q', on, session)).toEqual([true, true, false])
  })
})

test('how strings are to be read is told by the login too', () => {
  const logins: readonly (readonly [Readonly<Record<string, string>>, unknown])[] = [
    [{}, [false, true, false]],
    [{ Standard_Conforming_Strings: 'OFF' }, [true, false, false]],
    [{ standard_conforming_strings: 'on' }, [true, true, false]],
    [{ client_encoding: 'GBK' }, [true, true, true]],
    [{ options: '-c geqo=off -c standard_conforming_strings=0' }, [true, false, false]],
    [{ options: '--standard-conforming-strings=false -c x=on' }, [true, false, false]],
    [{ options: '-c standard_conforming_strings' }, [false, true, false]],
  ]
  for (const [params, expected] of logins) {
    expect(ask('q', startup({ user: 'u', params }))).toEqual(expected)
  }
})

test('JSON is read token by token, with its escapes, and broken JSON ends', () => {
  const text = String.raw`{"a":[1,-2.5e3,"x\"\\\u00e9\ud83d\ude00\n"],"b":{"c":null}}`
  expect(ask('j', text)).toEqual([
    ...[1, '{', 5, 'a', 3, '[', 6, '1', 6, '-2.5e3', 5, 'x"\\é\u{1F600}\n', 4, ']'],
    ...[5, 'b', 1, '{', 5, 'c', 6, 'null', 2, '}', 2, '}'],
  ])
  for (const broken of ['"a', '"\\', '"\\u12', '{"a":', '[[[', '\\', '"\\ud83d"', '']) {
    expect(Array.isArray(ask('j', broken))).toBe(true)
  }
})

test('memory that is used up is told of, and is there again in the next call', () => {
  const [first, second, reserved, isCut, kept] = ask('a') as readonly unknown[]
  expect(first).toBeGreaterThan(20)
  expect(second).toBeGreaterThan(20)
  expect([reserved, isCut, kept]).toEqual([false, true, 'kept'])
  expect(ask('c')).toHaveLength(12)
})

describe('the example of the README', () => {
  let plugin: Plugin
  beforeAll(async () => {
    plugin = createWasmPlugin(makeSpec(modulePath('sdk-example')), makeScene().surroundings)
    await plugin.start()
  })

  test('is what is compiled here', () => {
    const readme = readFileSync(join(ROOT, 'wasm-plugins/sdk/README.md'), 'utf8')
    const compiled = readFileSync(join(ROOT, 'test/fixtures/wasm/sdk-example.as'), 'utf8')
    const shown = compiled.replaceAll('../../../wasm-plugins/sdk/', '../../sdk/')
    expect(readme).toContain(`\`\`\`ts\n${shown}\`\`\``)
  })

  test('does what it says', () => {
    const decide = (bytes: Uint8Array): unknown =>
      plugin.steps.onTrafficFromClient?.decide(makeSession(), bytes, carried())
    expect(decide(query('select 1; truncate t'))).toMatchObject({ kind: 'deny', code: '42501' })
    expect(decide(message('P', '\0truncate t\0\0\0'))).toMatchObject({ kind: 'deny' })
    expect(decide(query("select 'truncate t'"))).toEqual({ kind: 'continue' })
  })
})
