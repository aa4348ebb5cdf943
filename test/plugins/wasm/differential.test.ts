/**
 * A metered module does what it did: results, traps, calls of the host, globals and memory of
 * random modules are those of the same modules unmetered. POSTERN_LONG=1 makes 20,000 more
 * (POSTERN_MODULES: as many), each in half a second.
 */
import { describe, expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'

const IS_LONG = process.env['POSTERN_LONG'] === '1'
/** Making one takes half a second: most of it is the start of the program that makes it. */
const MADE = Number(process.env['POSTERN_MODULES'] ?? (IS_LONG ? 20_000 : 6))
const FIXTURES = join(import.meta.dirname, '../../fixtures/wasm')
const COMPARED = z.object({
  modules: z.number(),
  refused: z.number(),
  lines: z.number(),
  traps: z.number(),
  overflowed: z.number(),
})
/** Far longer than all of them take. */
const STUCK_AFTER_MS = 20_000

/** Compares the modules of a file in a process of its own, which is ended if it is stuck. */
async function compareFile(path: string) {
  const child = Bun.spawn([process.execPath, join(FIXTURES, 'differential.ts'), path], {
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: STUCK_AFTER_MS,
    killSignal: 'SIGKILL',
  })
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  if ((await child.exited) !== 0) throw new Error(`${path}: ${errors.slice(-2000)}`)
  return COMPARED.parse(JSON.parse(output))
}

describe('a random module', () => {
  test('does metered what it does unmetered', async () => {
    const compared = await compareFile(join(FIXTURES, 'random-modules.bin.gz'))
    expect(compared).toMatchObject({ modules: 400, refused: 0, overflowed: 0 })
    expect(compared.lines).toBeGreaterThan(1500)
    expect(compared.traps).toBeGreaterThan(100)
  })

  test('that is new does so too', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'modules-'))
    try {
      for (let from = 0; from < MADE; from += 100) {
        const path = join(folder, 'modules.bin')
        await makeModules(path, folder, from, Math.min(from + 100, MADE))
        const compared = await compareFile(path)
        expect(compared.refused).toBeLessThan(compared.modules)
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  }, 14_400_000)
})

/** Modules that Binaryen makes of any bytes, written to a file behind their lengths. */
async function makeModules(path: string, folder: string, from: number, to: number) {
  const parts: Uint8Array[] = []
  const wasmOpt = join(import.meta.dirname, '../../../node_modules/binaryen/bin/wasm-opt')
  const features = ['mutable-globals', 'sign-ext', 'nontrapping-float-to-int', 'bulk-memory']
  features.push('simd', 'multivalue', 'tail-call', 'extended-const')
  for (let seed = from; seed < to; seed++) {
    const [input, made] = [join(folder, 'input'), join(folder, 'made.wasm')]
    await writeFile(input, seededBytes(seed, 100 + (seed % 12) * 100))
    const options = ['-ttf', '--denan', '-mvp', ...features.map((name) => `--enable-${name}`)]
    const child = Bun.spawn(['node', wasmOpt, input, ...options, '-o', made], {
      stdout: 'ignore',
      stderr: 'ignore',
    })
    if ((await child.exited) !== 0) throw new Error(`no module could be made of seed ${seed}`)
    const bytes = new Uint8Array(await Bun.file(made).arrayBuffer())
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, bytes.length, true)
    parts.push(length, bytes)
  }
  await writeFile(path, Buffer.concat(parts))
}

/** The same bytes for the same seed. */
function seededBytes(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += 8) {
    const word = Bun.hash(`${seed} ${at}`)
    const last = Math.min(at + 8, length)
    for (let place = at; place < last; place++) {
      bytes[place] = Number((BigInt(word) >> BigInt((place - at) * 8)) & 0xffn)
    }
  }
  return bytes
}
