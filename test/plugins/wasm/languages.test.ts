/** One plugin written in many languages keeps the same promises in all of them. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import { PluginStores } from '../../../src/plugins/wasm/store.ts'
import {
  carried,
  makeScene,
  makeSession,
  makeSpec,
  message,
  query,
  readBytes,
  type Scene,
} from '../../fixtures/wasm/kit.ts'
import { HAS_GO, WORDS, WORDS_GO, type Words } from '../../fixtures/wasm/words.ts'

const FOLDER = join(import.meta.dirname, '../../fixtures/wasm/words')
const BUILD_TIMEOUT_MS = 120_000
const LONGEST_BYTES = 1024 * 1024

/** What is promised here is what they do, on however busy a machine, not in which time. */
const PATIENT = {
  ...DEFAULT_LIMITS,
  callDeadlineMs: 10_000,
  startDeadlineMs: 10_000,
  cpuShareMax: 100,
}

interface Running {
  readonly plugin: Plugin
  readonly scene: Scene
  /** What comes of a message: `continue`, or the code and sentence of a refusal. */
  readonly judge: (bytes: Uint8Array) => Promise<string>
}

interface Options {
  readonly config?: Readonly<Record<string, unknown>>
  readonly stores?: PluginStores
}

async function started(words: Words, { config = {}, stores }: Options = {}): Promise<Running> {
  const scene = makeScene()
  const spec = makeSpec(await words.path(), { config, limits: PATIENT })
  const plugin = createWasmPlugin(spec, scene.surroundings, stores)
  await plugin.start()
  const step = plugin.steps.onTrafficFromClient!
  const judge = async (bytes: Uint8Array): Promise<string> => {
    const verdict = await step.decide(makeSession(), bytes, carried())
    if (verdict.kind === 'deny') return `${verdict.code} ${verdict.message}`
    return verdict.kind === 'failure' ? verdict.cause : verdict.kind
  }
  return { plugin, scene, judge }
}

const refused = (word: string): string => `42501 the word ${word} is not permitted`

function parse(name: string, sql: string): Uint8Array {
  return message('P', `${name}\0${sql}\0\0\0`)
}

function tellsOfItself(words: Words): void {
  test('tells what it is and which hooks it has', async () => {
    const { plugin, scene } = await started(words)
    expect(plugin.status()).toMatchObject({ name: words.name, state: 'ready', version: '1.0.0' })
    expect(plugin.manifest?.hooks).toEqual(['onTrafficFromClient', 'onClosed'])
    expect(plugin.steps.onTrafficFromClient?.messages).toEqual(['Query', 'Parse'])
    expect(scene.declared).toMatchObject([
      { plugin: words.name, specs: [{ name: 'words_refused_total', labels: ['word'] }] },
    ])
  })
}

function refuses(words: Words): void {
  test('refuses the words of its configuration, in any case, and no others', async () => {
    const { judge } = await started(words)
    expect(await judge(query('drop table t'))).toBe(refused('drop'))
    expect(await judge(query('select 1; TRUNCATE t'))).toBe(refused('truncate'))
    expect(await judge(query('select(dRoP)'))).toBe(refused('drop'))
    for (const sql of [
      'select 1',
      'select dropped, dro, backdrop, drop_2, drop2 from t',
      '',
      'd',
    ]) {
      expect(await judge(query(sql))).toBe('continue')
    }
    const own = await started(words, { config: { words: 'Vacuum naïve' } })
    expect(await own.judge(query('vacuum t'))).toBe(refused('vacuum'))
    expect(await own.judge(query('select naïve'))).toBe(refused('naïve'))
    expect(await own.judge(query('drop table t'))).toBe('continue')
  })

  test('reads the statement of a Parse, not the name of it', async () => {
    const { judge } = await started(words)
    expect(await judge(parse('', 'drop table t'))).toBe(refused('drop'))
    expect(await judge(parse('drop', 'select 1'))).toBe('continue')
    expect(await judge(parse('s1', 'truncate t'))).toBe(refused('truncate'))
  })

  test('counts each refusal in a metric, and says so in the log', async () => {
    const { judge, scene } = await started(words)
    await judge(query('drop table t'))
    await judge(query('select 1'))
    await judge(query('truncate t'))
    expect(scene.recorded).toEqual([
      { id: 0, value: 1, labels: ['drop'] },
      { id: 0, value: 1, labels: ['truncate'] },
    ])
    const told = scene.lines.filter(({ level }) => level === 40).map(({ msg }) => msg)
    expect(told).toEqual(['refused for the word drop', 'refused for the word truncate'])
  })
}

function remembers(words: Words): void {
  test('keeps its count in the store, over a new start of the plugin', async () => {
    const stores = new PluginStores()
    const first = await started(words, { stores })
    for (let turn = 0; turn < 12; turn++) await first.judge(query('drop table t'))
    await first.plugin.stop()
    const { plugin, judge, scene } = await started(words, { stores })
    await judge(query('drop table t'))
    const session = makeSession()
    expect(
      await plugin.steps.observers.onClosed?.tell({
        session,
        params: {},
        bytes: null,
        request: null,
      }),
    ).toBe(true)
    expect(scene.lines.at(-1)).toMatchObject({ level: 30, msg: 'closed; refused so far: 13' })
  })

  test('takes messages of every length, one after the other', async () => {
    const { plugin, judge } = await started(words)
    for (let length = 0; length < 600; length++) {
      expect(await judge(query('x'.repeat(length)))).toBe('continue')
    }
    for (let length = 1024; length <= LONGEST_BYTES; length *= 4) {
      expect(await judge(query(`${' '.repeat(length)}drop`))).toBe(refused('drop'))
      expect(await judge(query('select 1'))).toBe('continue')
    }
    expect(plugin.status()).toMatchObject({ failures: 0, state: 'ready' })
  })
}

function keepsItsPromises(words: Words): void {
  tellsOfItself(words)
  refuses(words)
  remembers(words)
}

for (const words of WORDS) {
  describe(`a plugin in ${words.language}, ${words.form} form,`, () => keepsItsPromises(words))
}

describe.skipIf(!HAS_GO)('a plugin in Go, direct form, a big module, (needs go)', () => {
  beforeAll(async () => {
    await WORDS_GO.path()
  }, BUILD_TIMEOUT_MS)
  keepsItsPromises(WORDS_GO)
})

test('the modules that are kept are those that their README tells of', () => {
  const readme = readFileSync(join(FOLDER, 'README.md'), 'utf8')
  const modules = readdirSync(FOLDER).filter((name) => name.endsWith('.wasm'))
  expect(modules.sort()).toEqual(['words-c.wasm', 'words-rust-pdk.wasm', 'words-rust.wasm'])
  for (const name of modules) {
    const sum = createHash('sha256')
      .update(readBytes(join(FOLDER, name)))
      .digest('hex')
    expect(readme).toContain(`${sum}  ${name}`)
  }
})
