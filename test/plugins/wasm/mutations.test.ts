/**
 * Built plugins that were cut short or had bits changed: refused, failing or running, and nothing
 * else. POSTERN_LONG=1 tries 10,000, POSTERN_SEED begins with another one.
 */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { modulePath } from '../../fixtures/wasm/kit.ts'
import { HAS_GO, WORDS, WORDS_GO } from '../../fixtures/wasm/words.ts'

const IS_LONG = process.env['POSTERN_LONG'] === '1'
const FIRST_SEED = Number(process.env['POSTERN_SEED'] ?? 0)
const MUTANTS = IS_LONG ? 10_000 : 300
/** Modules of this size are compiled for longer than some hundred copies of them may take. */
const GO_MUTANTS = 10
const STUCK_AFTER_MS = 20_000
const SHORT_TIMEOUT_MS = IS_LONG ? 600_000 : 120_000
const MIB = 2 ** 20
/** The process itself holds 150 MiB; the rest is what instances and compilers leave for a while. */
const PEAK_BYTES_MAX = 1024 * MIB

/** Every plugin that any machine has. */
async function wholePlugins(): Promise<readonly string[]> {
  const named = ['verdicts', 'verdicts-pdk', 'marks', 'raw', 'caller'].map(modulePath)
  return [...named, modulePath('audit'), ...(await Promise.all(WORDS.map(({ path }) => path())))]
}

/** Runs mutants in a process of its own; returns the last line, which is its summary. */
async function tryMutants(paths: readonly string[], from: number, to: number): Promise<string> {
  const script = join(import.meta.dirname, '../../fixtures/wasm/mutants.ts')
  const child = Bun.spawn([process.execPath, script, String(from), String(to), ...paths], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const complaints = child.stderr.text()
  let last = ''
  let watch: Timer | undefined
  const rearm = (): void => {
    clearTimeout(watch)
    watch = setTimeout(() => child.kill('SIGKILL'), STUCK_AFTER_MS)
  }
  rearm()
  for await (const chunk of child.stdout) {
    rearm()
    last = new TextDecoder().decode(chunk).trimEnd().split('\n').at(-1) ?? last
  }
  clearTimeout(watch)
  await child.exited
  const how = `exit ${child.exitCode} ${child.signalCode ?? ''} ${await complaints}`
  // The last number printed is that of the one which did it.
  if (how !== 'exit 0  ') throw new Error(`mutant ${last}: ${how}`)
  return last
}

function expectBounded(summary: string, count: number): void {
  const { refused, failed, ran, peakBytes } = JSON.parse(summary)
  expect(refused + failed + ran).toBe(count)
  expect(refused).toBeGreaterThan(0)
  expect(peakBytes).toBeLessThan(PEAK_BYTES_MAX)
}

describe('a changed copy of a plugin', () => {
  test(
    'is refused, fails or runs, and never takes the gateway with it',
    async () => {
      const paths = await wholePlugins()
      const summary = await tryMutants(paths, FIRST_SEED, FIRST_SEED + MUTANTS)
      expectBounded(summary, MUTANTS)
    },
    SHORT_TIMEOUT_MS,
  )

  test.skipIf(!HAS_GO)(
    'is so also where it is a big module (needs go)',
    async () => {
      const path = await WORDS_GO.path()
      const summary = await tryMutants([path], FIRST_SEED, FIRST_SEED + GO_MUTANTS)
      expectBounded(summary, GO_MUTANTS)
    },
    SHORT_TIMEOUT_MS,
  )
})
