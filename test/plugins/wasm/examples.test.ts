/** The examples in other languages build, and keep what their test files promise. */
import { afterAll, expect, test } from 'bun:test'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pluginTest } from '../../../src/cli/plugin-test.ts'
import { record } from '../../cli/recorder.ts'
import { mustRun, run } from '../../kit/command.ts'

const EXAMPLES = join(import.meta.dirname, '../../../examples/wasm')
const BUILD_TIMEOUT_MS = 180_000
const folder = mkdtempSync(join(tmpdir(), 'postern-examples-'))
afterAll(() => rmSync(folder, { recursive: true }))

const RUST_TARGET = 'wasm32-unknown-unknown'

/** Whether Rust is here with the library for WebAssembly. */
async function hasRust(): Promise<boolean> {
  if (Bun.which('cargo') === null) return false
  const asked = ['rustc', '--print', 'target-libdir', '--target', RUST_TARGET]
  const { status, stdout } = await run(asked)
  return status === 0 && existsSync(stdout.trim())
}

/** Whether clang is here with the target and its linker. */
async function hasClang(): Promise<boolean> {
  if (Bun.which('clang') === null || Bun.which('wasm-ld') === null) return false
  const { stdout } = await run(['clang', '--print-targets'])
  return stdout.includes('wasm32')
}

/** Whether the crates that the PDK is made of are on this machine: no test fetches any. */
async function hasPdk(): Promise<boolean> {
  const manifest = join(EXAMPLES, 'pdk/Cargo.toml')
  const asked = ['cargo', 'fetch', '--offline', '--locked', '--target', RUST_TARGET]
  return (await run([...asked, '--manifest-path', manifest])).status === 0
}

const HAS_RUST = await hasRust()
const HAS_CLANG = await hasClang()
const HAS_PDK = HAS_RUST && (await hasPdk())
const HAS_GO = Bun.which('go') !== null

/** Runs the example's test file on its module, as its author would. */
async function keepsItsPromises(example: string, name: string): Promise<void> {
  const file = join(folder, `${name}.test.yaml`)
  copyFileSync(join(EXAMPLES, example, `${name}.test.yaml`), file)
  const io = record()
  const status = await pluginTest([file], io)
  expect([...io.complaints, ...io.written].join('\n')).toContain('all passed')
  expect(status).toBe(0)
}

async function buildRust(example: string, crate: string, name: string): Promise<void> {
  const manifest = join(EXAMPLES, example, 'Cargo.toml')
  const target = join(folder, 'target')
  const flags = ['--release', '--locked', '--offline', '--target', RUST_TARGET]
  await mustRun(['cargo', 'build', ...flags, '--manifest-path', manifest], {
    env: { ...process.env, CARGO_TARGET_DIR: target },
  })
  copyFileSync(join(target, RUST_TARGET, 'release', `${crate}.wasm`), join(folder, `${name}.wasm`))
}

test.skipIf(!HAS_RUST)(
  'the one in Rust (needs cargo and wasm32-unknown-unknown)',
  async () => {
    await buildRust('rust', 'forbidden_words', 'forbidden-words')
    await keepsItsPromises('rust', 'forbidden-words')
  },
  BUILD_TIMEOUT_MS,
)

test.skipIf(!HAS_PDK)(
  'the one with an Extism PDK (needs cargo, wasm32-unknown-unknown and the crates of the PDK)',
  async () => {
    await buildRust('pdk', 'length_limit', 'length-limit')
    await keepsItsPromises('pdk', 'length-limit')
  },
  BUILD_TIMEOUT_MS,
)

test.skipIf(!HAS_GO)(
  'the one in Go (needs go)',
  async () => {
    const out = join(folder, 'statements.wasm')
    const flags = ['-trimpath', '-buildmode=c-shared', '-ldflags=-s -w', '-o', out]
    await mustRun(['go', 'build', ...flags, '.'], {
      cwd: join(EXAMPLES, 'go'),
      env: { ...process.env, GOOS: 'wasip1', GOARCH: 'wasm' },
    })
    await keepsItsPromises('go', 'statements')
  },
  BUILD_TIMEOUT_MS,
)

test.skipIf(!HAS_CLANG)(
  'the one in C (needs clang with wasm32 and wasm-ld)',
  async () => {
    const out = join(folder, 'no-drop.wasm')
    const flags = ['--target=wasm32', '-nostdlib', '-O3', '-Wl,--no-entry', '-Wl,--strip-all']
    await mustRun(['clang', ...flags, '-o', out, join(EXAMPLES, 'c/no-drop.c')])
    await keepsItsPromises('c', 'no-drop')
  },
  BUILD_TIMEOUT_MS,
)

test('each has a README with the commands that build and test it', () => {
  for (const example of ['c', 'rust', 'go', 'pdk']) {
    const readme = readFileSync(join(EXAMPLES, example, 'README.md'), 'utf8')
    expect(readme).toContain('postern plugin test ')
    expect(readme).toContain('postern plugin bench ')
  }
})
