/**
 * Builds the WASM plugins of wasm-plugins/ into dist/plugins, with their checksums, and the
 * modules that tests run into dist/test-plugins. By itself: `bun scripts/wasm.ts [--tests]`.
 * What is newer than all sources is not built again.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { parseArgs } from 'node:util'

const ROOT = join(import.meta.dirname, '..')
const SOURCES = join(ROOT, 'wasm-plugins')
const FIXTURES = join(ROOT, 'test/fixtures/wasm')
const PLUGINS = join(ROOT, 'dist/plugins')
const TEST_PLUGINS = join(ROOT, 'dist/test-plugins')
const CHECKSUMS = 'checksums.txt'
/** Test modules end in .as, so that nothing takes them for TypeScript. */
const FIXTURE_SUFFIX = '.as'

/**
 * The runtime that never frees suits plugins that allocate nothing in their hooks, which is what
 * the shared ABI folder is made for: no collector, no pause, the same memory for every call.
 */
const OPTIONS = ['--runtime', 'stub', '-O3']

/** A module to be built: its name, and where its source begins. */
interface Source {
  readonly name: string
  readonly entry: string
}

/** The compiler asks for .ts, whatever the file ends in. */
async function readSource(name: string, baseDir: string): Promise<string | null> {
  const path = join(baseDir, name)
  for (const candidate of [path, path.replace(/\.ts$/, FIXTURE_SUFFIX)]) {
    if (existsSync(candidate)) return await readFile(candidate, 'utf8')
  }
  return null
}

async function compile(entry: string): Promise<Uint8Array> {
  // Loaded where it is needed: the compiler takes longer to load than all else here to run.
  const { main } = await import('assemblyscript/asc')
  const files = new Map<string, Uint8Array>()
  let messages = ''
  const collect = {
    write: (text: string | Uint8Array): void => {
      messages += text.toString()
    },
  }
  const argv = [relative(ROOT, entry), '--baseDir', ROOT, '--outFile', 'module.wasm', ...OPTIONS]
  const { error } = await main(argv, {
    stdout: collect,
    stderr: collect,
    readFile: readSource,
    writeFile: (name, contents) => {
      if (typeof contents !== 'string') files.set(name, contents)
    },
  })
  const binary = files.get('module.wasm')
  if (error === null && binary !== undefined) return binary
  throw new Error(`${relative(ROOT, entry)} does not compile:\n${messages}`, { cause: error })
}

/** Writes a file so that a reader finds the old one or the new one, never a part. */
async function writeWhole(path: string, contents: string | Uint8Array): Promise<void> {
  const draft = `${path}.${process.pid}.draft`
  await writeFile(draft, contents)
  await rename(draft, path)
}

/** When the last of the sources was changed, in milliseconds of the file system's clock. */
async function lastChange(): Promise<number> {
  let last = (await stat(import.meta.filename)).mtimeMs
  for (const folder of [SOURCES, FIXTURES]) {
    for (const name of await readdir(folder, { recursive: true })) {
      // Beside them lie tests' own programs, which no module is made of.
      if (folder === FIXTURES && !name.endsWith(FIXTURE_SUFFIX)) continue
      last = Math.max(last, (await stat(join(folder, name))).mtimeMs)
    }
  }
  return last
}

async function build(sources: readonly Source[], folder: string): Promise<readonly string[]> {
  await mkdir(folder, { recursive: true })
  const changedAt = await lastChange()
  const paths: string[] = []
  for (const { name, entry } of sources) {
    const path = join(folder, `${name}.wasm`)
    const builtAt = existsSync(path) ? (await stat(path)).mtimeMs : 0
    if (builtAt <= changedAt) await writeWhole(path, await compile(entry))
    paths.push(path)
  }
  return paths
}

async function writeChecksums(folder: string, paths: readonly string[]): Promise<void> {
  let lines = ''
  for (const path of paths) {
    const sum = createHash('sha256')
      .update(await readFile(path))
      .digest('hex')
    lines += `${sum}  ${basename(path)}\n`
  }
  await writeWhole(join(folder, CHECKSUMS), lines)
}

/**
 * Builds every plugin into dist/plugins, beside a checksums.txt as `sha256sum` writes it. Returns
 * the modules' paths. A folder of wasm-plugins/ without assembly/index.ts is shared, no plugin.
 */
export async function buildWasmPlugins(): Promise<readonly string[]> {
  const sources: Source[] = []
  for (const name of (await readdir(SOURCES)).sort()) {
    const entry = join(SOURCES, name, 'assembly/index.ts')
    if (existsSync(entry)) sources.push({ name, entry })
  }
  const paths = await build(sources, PLUGINS)
  await writeChecksums(PLUGINS, paths)
  return paths
}

/** Builds the modules that tests run into dist/test-plugins. Returns their paths. */
export async function buildTestPlugins(): Promise<readonly string[]> {
  const names = (await readdir(FIXTURES)).filter((name) => name.endsWith(FIXTURE_SUFFIX)).sort()
  const sources = names.map((name) => ({
    name: basename(name, FIXTURE_SUFFIX),
    entry: join(FIXTURES, name.replace(FIXTURE_SUFFIX, '.ts')),
  }))
  return await build(sources, TEST_PLUGINS)
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { tests: { type: 'boolean', default: false } } })
  const plugins = await buildWasmPlugins()
  const paths = values.tests ? plugins.concat(await buildTestPlugins()) : plugins
  for (const path of paths) process.stdout.write(`${relative(ROOT, path)}\n`)
}
