/** Modules that were changed or made to harm, and the growth of one that is called a lot. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { modulePath } from '../../fixtures/wasm/kit.ts'

const MUTANTS = 300
/** A changed module may loop for ever; until calls have a deadline that is told from a crash. */
const STUCK_MAX = 5
const STUCK_AFTER_MS = 15_000
/** Loading some hundred modules takes some seconds. */
const MUTANTS_TIMEOUT_MS = 120_000
/** As many as the environment asks for; a call that leaves 100 bytes behind is seen in these. */
const CALLS = process.env['WASM_TEST_CALLS'] ?? '200000'
const CALLS_TIMEOUT_MS = 120_000
const GROWTH_BYTES_MAX = 16 * 2 ** 20

/** Tries mutants from `from` on; returns the one that got stuck, or null when all were tried. */
async function tryMutants(path: string, from: number): Promise<number | null> {
  const script = join(import.meta.dirname, '../../fixtures/wasm/mutants.ts')
  const child = Bun.spawn([process.execPath, script, path, String(from), String(MUTANTS)], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let last = ''
  let watch: Timer | undefined
  let stuck = false
  const rearm = (): void => {
    clearTimeout(watch)
    watch = setTimeout(() => {
      stuck = true
      child.kill('SIGKILL')
    }, STUCK_AFTER_MS)
  }
  rearm()
  for await (const chunk of child.stdout) {
    rearm()
    last = new TextDecoder().decode(chunk).trimEnd().split('\n').at(-1) ?? last
  }
  clearTimeout(watch)
  const code = await child.exited
  if (stuck) return Number(last)
  expect(`${code} ${last} ${await new Response(child.stderr).text()}`).toBe('0 done ')
  return null
}

describe('a changed module', () => {
  test(
    'is refused, fails or runs, and never takes the gateway with it',
    async () => {
      const path = modulePath('audit')
      let stuck = 0
      let from: number | null = 0
      while (from !== null) {
        from = await tryMutants(path, from)
        if (from !== null) {
          from++
          expect(++stuck).toBeLessThanOrEqual(STUCK_MAX)
        }
      }
    },
    MUTANTS_TIMEOUT_MS,
  )
})

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
