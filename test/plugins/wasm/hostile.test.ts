/** Modules made to harm: each is refused, fails or works as it must, and always comes back. */
import { afterAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { GatewayError } from '../../../src/base/errors.ts'
import type { FromClientVerdict } from '../../../src/hooks/verdict.ts'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import { HOSTILE } from '../../fixtures/wasm/hostile/all.ts'
import type { Hostile } from '../../fixtures/wasm/hostile/plugin-text.ts'
import {
  carried,
  fileOf,
  makeScene,
  makeSession,
  makeSpec,
  modulePath,
  query,
} from '../../fixtures/wasm/kit.ts'

/** As many as the environment asks for; a call that leaves 100 bytes behind is seen in these. */
const CALLS = process.env['WASM_TEST_CALLS'] ?? '200000'
const CALLS_TIMEOUT_MS = 120_000
const GROWTH_BYTES_MAX = 16 * 2 ** 20
/** A module has its deadlines of 50 and 500 ms; what comes no later than this came back. */
const HOSTILE_TIMEOUT_MS = 20_000
/** What all of them leave behind, over two hundred instances of up to 64 MiB. */
const LEFT_BYTES_MAX = 512 * 2 ** 20

async function made({ make }: Hostile): Promise<Plugin> {
  // A meter that keeps nothing: what a bomb records is no part of this.
  const meter = { declare: () => ({ record: () => true, withdraw: () => undefined }) }
  const surroundings = { ...makeScene({ level: 'silent' }).surroundings, meter }
  return createWasmPlugin(makeSpec(await fileOf(make())), surroundings)
}

/** What came of the start, where it was refused; else null. */
async function refusalOf(plugin: Plugin): Promise<string | null> {
  try {
    await plugin.start()
    return null
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(GatewayError)
    return String(thrown)
  }
}

async function judged(plugin: Plugin): Promise<FromClientVerdict | undefined> {
  return await plugin.steps.onTrafficFromClient?.decide(makeSession(), query('select 1'), carried())
}

/** Starts it, calls it twice, and says in words what came of it. */
async function tried(hostile: Hostile): Promise<string> {
  const plugin = await made(hostile)
  try {
    const refusal = await refusalOf(plugin)
    if (refusal !== null) {
      expect(plugin.status().state).toBe('broken')
      return `refused: ${refusal}`
    }
    const first = await judged(plugin)
    const second = await judged(plugin)
    // The second finds a new instance, or is told why there is none.
    expect(second?.kind).toBe(first!.kind)
    return first?.kind === 'failure' ? `fails: ${first.cause}` : `works: ${first?.kind}`
  } finally {
    await plugin.stop()
  }
}

function expected({ outcome }: Hostile): readonly [kind: string, words: string] {
  if (outcome.kind === 'works') return ['works: ', 'continue']
  return [`${outcome.kind}: `, outcome.words]
}

const before = process.memoryUsage.rss()
afterAll(() => {
  Bun.gc(true)
  expect(process.memoryUsage.rss() - before).toBeLessThan(LEFT_BYTES_MAX)
})

for (const [group, all] of Object.entries(HOSTILE)) {
  describe(`a module ${group}`, () => {
    for (const hostile of all) {
      const [kind, words] = expected(hostile)
      test(
        `${hostile.name} ${hostile.outcome.kind === 'refused' ? 'is' : ''} ${kind}${words}`,
        async () => {
          const found = await tried(hostile)
          expect(found).toStartWith(kind)
          expect(found).toContain(words)
        },
        HOSTILE_TIMEOUT_MS,
      )
    }
  })
}

test(
  'a plugin that is called a lot takes no more memory than at the begin',
  async () => {
    const script = join(import.meta.dirname, '../../fixtures/wasm/growth.ts')
    const child = Bun.spawn([process.execPath, script, modulePath('audit'), CALLS])
    const growth = await new Response(child.stdout).text()
    expect(await child.exited).toBe(0)
    expect(growth).toMatch(/^-?[0-9]+$/)
    expect(Number(growth)).toBeLessThan(GROWTH_BYTES_MAX)
  },
  CALLS_TIMEOUT_MS,
)
