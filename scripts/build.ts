/**
 * Builds what is shipped: the executable dist/postern and the WASM plugins in dist/plugins.
 * `--if-stale` builds only where a source, the commit or Bun has changed since.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { mustRun, run } from '../test/kit/command.ts'
import { buildWasmPlugins } from './wasm.ts'

const ROOT = resolve(import.meta.dir, '..')
const DIST = join(ROOT, 'dist')
const BINARY = join(DIST, 'postern')
const STAMP = join(DIST, 'build.json')
/** The program, and what it runs on a thread of its own. */
const ENTRIES = ['src/main.ts', 'src/plugins/wasm/prepare-thread.ts']
/** Everything the outcome depends on, but for the commit and Bun, which the stamp holds. */
const SOURCES = [
  'src',
  'proto',
  'wasm-plugins',
  'scripts/build.ts',
  'scripts/wasm.ts',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
]

const stampFile = z.object({
  version: z.string(),
  commit: z.string(),
  bun: z.string(),
  startedAtMs: z.number(),
})
type Stamp = z.infer<typeof stampFile>

export interface BuildOptions {
  /** True: nothing is built where the last build is as good as a new one. */
  readonly ifStale: boolean
  readonly say: (line: string) => void
}

/** Builds everything, or throws with what the tool that failed has written. */
export async function build({ ifStale, say }: BuildOptions): Promise<void> {
  const stamp: Stamp = {
    version: await version(),
    commit: await commit(),
    bun: Bun.version,
    startedAtMs: Date.now(),
  }
  if (ifStale) {
    const reason = await staleness(stamp)
    say(reason === null ? 'dist is fresh: nothing to build' : `building, because ${reason}`)
    if (reason === null) return
  }
  mkdirSync(DIST, { recursive: true })
  rmSync(STAMP, { force: true })
  await timed('dist/postern', say, () => compile(stamp))
  say(`  ${stamp.version} (${stamp.commit}), Bun ${stamp.bun}, ${megabytes(BINARY)}`)
  await timed('dist/plugins', say, async () => {
    await buildWasmPlugins()
  })
  for (const file of wasmFiles()) say(`  ${relative(ROOT, file)}, ${kilobytes(file)}`)
  await Bun.write(STAMP, JSON.stringify(stamp))
}

/** One executable; the old one stays whole, also while it runs, until the new one is. */
async function compile({ version, commit }: Stamp): Promise<void> {
  const entries = ENTRIES.map((entry) => join(ROOT, entry))
  for (const entry of entries) {
    if (!existsSync(entry)) throw new Error(`${entry} is not there: nothing to compile`)
  }
  const fresh = `${BINARY}.fresh`
  // Without the two "no-compile-autoload" the executable would run code from a bunfig.toml or take
  // variables from an .env of whatever folder it is started in.
  await mustRun(
    [
      process.execPath,
      'build',
      '--compile',
      '--minify',
      '--bytecode',
      '--splitting',
      '--format=esm',
      '--no-compile-autoload-dotenv',
      '--no-compile-autoload-bunfig',
      `--define=POSTERN_VERSION=${JSON.stringify(version)}`,
      `--define=POSTERN_COMMIT=${JSON.stringify(commit)}`,
      // Side by side, so that whoever starts the thread finds it by its name alone.
      '--entry-naming=[name].[ext]',
      ...entries,
      `--outfile=${fresh}`,
    ],
    { cwd: ROOT },
  )
  renameSync(fresh, BINARY)
}

async function version(): Promise<string> {
  const file = z.object({ version: z.string() })
  return file.parse(await Bun.file(join(ROOT, 'package.json')).json()).version
}

/** The commit of this repository, `-dirty` where files differ from it, `unknown` without git. */
async function commit(): Promise<string> {
  if (Bun.which('git') === null) return 'unknown'
  const top = await run(['git', 'rev-parse', '--show-toplevel'], { cwd: ROOT })
  // A copy of the sources inside another repository has no commit of its own.
  if (top.status !== 0 || resolve(top.stdout.trim()) !== ROOT) return 'unknown'
  const head = await run(['git', 'rev-parse', '--short=12', 'HEAD'], { cwd: ROOT })
  if (head.status !== 0) return 'unknown'
  const changes = await mustRun(['git', 'status', '--porcelain'], { cwd: ROOT })
  return head.stdout.trim() + (changes === '' ? '' : '-dirty')
}

/** Why the last build will not do, or null. */
async function staleness(now: Stamp): Promise<string | null> {
  if (!existsSync(BINARY)) return 'dist/postern is not there'
  if (!existsSync(STAMP)) return 'the last build was not finished'
  const last = stampFile.safeParse(await Bun.file(STAMP).json())
  if (!last.success) return 'dist/build.json is of another form'
  for (const key of ['version', 'commit', 'bun'] as const) {
    if (last.data[key] !== now[key]) return `${key} was ${last.data[key]} and is ${now[key]}`
  }
  const newest = SOURCES.map((source) => join(ROOT, source))
    .filter((path) => existsSync(path))
    .map(newestIn)
    .reduce((one, other) => (one.changedAtMs > other.changedAtMs ? one : other))
  if (newest.changedAtMs <= last.data.startedAtMs) return null
  return `${relative(ROOT, newest.path)} has changed`
}

interface Change {
  readonly path: string
  readonly changedAtMs: number
}

/** The last change in a file or folder; that of a folder itself tells of files removed. */
function newestIn(path: string): Change {
  const found = statSync(path)
  const own = { path, changedAtMs: found.mtimeMs }
  if (!found.isDirectory()) return own
  return readdirSync(path)
    .filter((name) => name !== 'node_modules')
    .map((name) => newestIn(join(path, name)))
    .reduce((one, other) => (one.changedAtMs > other.changedAtMs ? one : other), own)
}

function wasmFiles(): string[] {
  const folder = join(DIST, 'plugins')
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).filter((name) => name.endsWith('.wasm'))
  return names.sort().map((name) => join(folder, name))
}

async function timed(
  what: string,
  say: (line: string) => void,
  work: () => Promise<void>,
): Promise<void> {
  const startedAtMs = performance.now()
  await work()
  say(`${what} built in ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`)
}

const megabytes = (file: string): string => `${(statSync(file).size / 1e6).toFixed(1)} MB`
const kilobytes = (file: string): string => `${(statSync(file).size / 1e3).toFixed(1)} kB`

if (import.meta.main) {
  try {
    const { values } = parseArgs({ options: { 'if-stale': { type: 'boolean', default: false } } })
    const say = (line: string): boolean => process.stdout.write(`${line}\n`)
    await build({ ifStale: values['if-stale'], say })
  } catch (error) {
    process.stderr.write(`build: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
