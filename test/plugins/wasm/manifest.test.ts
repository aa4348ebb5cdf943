/** What a manifest must say, and that every mistake in it is told by its field. */
import { describe, expect, test } from 'bun:test'
import type { HookName } from '../../../src/hooks/hook.ts'
import type { GuestShape, HookForm } from '../../../src/plugins/wasm/abi.ts'
import { MANIFEST_BYTES_MAX, MANIFEST_ITEMS_MAX } from '../../../src/plugins/wasm/limits.ts'
import { parseManifest } from '../../../src/plugins/wasm/manifest.ts'
import { manifestOf } from '../../fixtures/wasm/kit.ts'

function shapeOf(...hooks: readonly HookName[]): GuestShape {
  const forms: readonly (readonly [HookName, HookForm])[] = hooks.map((hook) => [hook, 'direct'])
  return { hooks: new Map(forms), initialize: false }
}

function parse(fields: Readonly<Record<string, unknown>>, ...hooks: readonly HookName[]) {
  const bytes = new TextEncoder().encode(JSON.stringify(manifestOf(fields)))
  return parseManifest(bytes, shapeOf(...hooks), 'p.wasm')
}

describe('parseManifest', () => {
  test('fills in what may be left out', () => {
    const manifest = parse({ hooks: [{ name: 'onClosed' }] }, 'onClosed')
    expect(manifest).toMatchObject({
      name: 'sample',
      description: '',
      authors: [],
      requires: [],
      metrics: [],
      hooks: [{ name: 'onClosed', unit: 'message', messages: null }],
    })
  })

  test('keeps units, messages, metrics and requirements', () => {
    const manifest = parse(
      {
        hooks: [{ name: 'onTrafficFromServer', unit: 'reply', messages: ['DataRow'] }],
        metrics: [{ name: 'm', type: 'histogram', help: 'h', labels: ['l'], buckets: [1, 2] }],
        requires: [{ name: 'other', version: '1.2.0' }],
      },
      'onTrafficFromServer',
    )
    expect(manifest.hooks[0]).toEqual({
      name: 'onTrafficFromServer',
      unit: 'reply',
      messages: ['DataRow'],
    })
    expect(manifest.metrics[0]).toMatchObject({ type: 'histogram', buckets: [1, 2] })
    expect(manifest.requires).toEqual([{ name: 'other', version: '1.2.0' }])
  })

  test('says with how many workers it does, where that is not any number', () => {
    const hooks = [{ name: 'onClosed' }]
    expect(parse({ hooks }, 'onClosed').workers).toBeNull()
    expect(parse({ hooks, workers: 1 }, 'onClosed').workers).toBe(1)
  })

  const traffic = { name: 'onTrafficFromClient' }
  const refused: readonly (readonly [string, Readonly<Record<string, unknown>>, string])[] = [
    ['another ABI', { abi: 2 }, 'abi: must be 1'],
    ['no name', { name: undefined }, 'name: '],
    ['a name with a slash', { name: 'a/b' }, 'name: must be letters'],
    ['no version', { version: '' }, 'version: '],
    ['no hooks', { hooks: undefined }, 'hooks: '],
    ['an unknown key', { hook: [] }, 'Unrecognized key: "hook"'],
    ['an unknown hook', { hooks: [{ name: 'onTrafic' }] }, 'hooks[0].name: no hook is called'],
    ['the reserved hook', { hooks: [{ name: 'onHook' }] }, 'hooks[0].name: onHook is never called'],
    ['no workers', { workers: 0 }, 'workers: '],
    ['an unknown unit', { hooks: [{ ...traffic, unit: 'row' }] }, 'hooks[0].unit: '],
    [
      'a reply from a client',
      { hooks: [{ ...traffic, unit: 'reply' }] },
      'hooks[0].unit: there are',
    ],
    ['a unit without traffic', { hooks: [{ name: 'onClosed', unit: 'batch' }] }, 'hooks[0]: unit'],
    ['messages without traffic', { hooks: [{ name: 'onRun', messages: ['Query'] }] }, 'hooks[0]: '],
    ['an empty list of messages', { hooks: [{ ...traffic, messages: [] }] }, 'hooks[0].messages: '],
    [
      'a message that nobody sends',
      { hooks: [{ ...traffic, messages: ['Query', 'DataRow'] }] },
      'hooks[0].messages: no client sends a message "DataRow"',
    ],
    ['a hook listed twice', { hooks: [traffic, traffic] }, 'hooks: onTrafficFromClient is listed'],
    [
      'a hook not exported',
      { hooks: [{ name: 'onRun' }] },
      'hooks: onRun is listed, but no on_run',
    ],
    [
      'a hook not listed',
      { hooks: [] },
      'hooks: on_traffic_from_client is exported, but onTrafficFromClient is not listed',
    ],
    ['an unknown type of metric', { metrics: [{ name: 'm', type: 'sum' }] }, 'metrics[0].type: '],
    ['a requirement without version', { requires: [{ name: 'x' }] }, 'requires[0].version: '],
    ['too long a list', { tags: Array(MANIFEST_ITEMS_MAX + 1).fill('x') }, 'tags: '],
    [
      'a config of another type',
      { hooks: [traffic], config: { type: 'array' } },
      'config: its type',
    ],
    ['a store that is nowhere', { hooks: [traffic], store: 'here' }, 'store: '],
    ['an ignored keyword', { hooks: [traffic], config: { anyOf: [] } }, 'config uses anyOf'],
  ]
  test('a store is shared unless it says local', () => {
    const hooks = [{ name: 'onClosed' }]
    expect(parse({ hooks }, 'onClosed').store).toBe('shared')
    expect(parse({ hooks, store: 'local' }, 'onClosed').store).toBe('local')
  })

  for (const [what, fields, sentence] of refused) {
    test(`refuses ${what}, naming the field`, () => {
      expect(() => parse(fields, 'onTrafficFromClient')).toThrow(`p.wasm: manifest: ${sentence}`)
    })
  }

  test('refuses what is no JSON, no object, or too large', () => {
    const refuse = (text: string) => () =>
      parseManifest(new TextEncoder().encode(text), shapeOf(), 'p.wasm')
    expect(refuse('')).toThrow('describe must output JSON')
    expect(refuse('{')).toThrow('describe must output JSON')
    expect(refuse('[]')).toThrow('p.wasm: manifest: ')
    expect(refuse(' '.repeat(MANIFEST_BYTES_MAX + 1))).toThrow(`at most ${MANIFEST_BYTES_MAX}`)
  })
})

type Wrong = [path: string, manifest: Readonly<Record<string, unknown>>]
const LONG = 'x'.repeat(4097)
const MANY = Array.from({ length: MANIFEST_ITEMS_MAX + 1 }, () => 'x')

/** One field that is wrong, by its path in errors, and what stands there. */
function wrongs(): readonly Wrong[] {
  const hook = { name: 'onTrafficFromClient' }
  const cases: Wrong[] = []
  for (const wrong of [undefined, null, '1', 0, 1.5, true, [], {}])
    cases.push(['abi', { abi: wrong }])
  for (const wrong of [undefined, null, 7, '', '-a', 'ä', 'x'.repeat(65), ['a']]) {
    cases.push(['name', { name: wrong }])
  }
  for (const wrong of [undefined, null, 1, '', LONG, {}])
    cases.push(['version', { version: wrong }])
  for (const field of ['description', 'license', 'projectUrl']) {
    for (const wrong of [null, 1, LONG, []]) cases.push([field, { [field]: wrong }])
  }
  for (const field of ['authors', 'tags', 'categories']) {
    for (const wrong of [null, 'x', {}, MANY]) cases.push([field, { [field]: wrong }])
    cases.push([`${field}[0]`, { [field]: [1] }], [`${field}[1]`, { [field]: ['x', LONG] }])
  }
  for (const wrong of [undefined, null, {}, 'onRun', MANY]) cases.push(['hooks', { hooks: wrong }])
  for (const wrong of [null, 'onRun', 1, []]) cases.push(['hooks[0]', { hooks: [wrong] }])
  for (const wrong of [undefined, null, 1, LONG]) {
    cases.push(['hooks[0].name', { hooks: [{ name: wrong }] }])
  }
  for (const wrong of [null, 'row', 1]) {
    cases.push(['hooks[0].unit', { hooks: [{ ...hook, unit: wrong }] }])
  }
  for (const wrong of [null, 'Query', [], MANY]) {
    cases.push(['hooks[0].messages', { hooks: [{ ...hook, messages: wrong }] }])
  }
  for (const wrong of [null, 1, '']) {
    cases.push(['hooks[0].messages[0]', { hooks: [{ ...hook, messages: [wrong] }] }])
  }
  return cases
}

/** The same of what a plugin needs, measures and is set by. */
function wrongsBeside(): readonly Wrong[] {
  const metric = { name: 'm_total', type: 'counter' }
  const need = { name: 'other', version: '1.0.0' }
  const cases: Wrong[] = []
  for (const wrong of [null, {}, 'other', MANY]) cases.push(['requires', { requires: wrong }])
  for (const field of ['name', 'version']) {
    for (const wrong of [undefined, null, 1, '', LONG]) {
      cases.push([`requires[0].${field}`, { requires: [{ ...need, [field]: wrong }] }])
    }
  }
  for (const wrong of [null, {}, 'm']) cases.push(['metrics', { metrics: wrong }])
  const fields: Readonly<Record<string, readonly unknown[]>> = {
    name: [undefined, null, 1, '', LONG],
    type: [undefined, null, 'summary', 1],
    help: [null, 1, LONG],
    labels: [null, 'a', MANY],
    'labels[0]': [],
    buckets: [null, 'a', [], MANY],
  }
  for (const [field, values] of Object.entries(fields)) {
    for (const wrong of values) {
      cases.push([`metrics[0].${field}`, { metrics: [{ ...metric, [field]: wrong }] }])
    }
  }
  for (const wrong of [null, 1, '']) {
    cases.push(['metrics[0].labels[0]', { metrics: [{ ...metric, labels: [wrong] }] }])
  }
  for (const wrong of [1, 'object', []]) cases.push(['config', { config: wrong }])
  return cases
}

describe('every field that is missing, null, of another type, too long or too many', () => {
  for (const [path, fields] of [...wrongs(), ...wrongsBeside()]) {
    const shown = JSON.stringify(fields).slice(0, 60)
    test(`is named: ${path} of ${shown}`, () => {
      const bytes = new TextEncoder().encode(JSON.stringify({ ...manifestOf(), ...fields }))
      const read = () => parseManifest(bytes, shapeOf(), 'p.wasm')
      // Its path, then a sentence; an item of a wrong list may be named below it.
      expect(read).toThrow(`p.wasm: manifest: ${path}`)
    })
  }
})
