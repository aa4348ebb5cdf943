/**
 * Makes the TypeScript of every file under `proto/`, with npm packages alone: `@bufbuild/buf`
 * reads the files, `protoc-gen-es` writes the code. With `--check` it only says what is stale.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const ROOT = join(import.meta.dir, '..')

/** Which packages under `proto/` become code, and where that code lives. */
const OUTPUTS = [{ packages: ['plugin', 'grpc'], folder: 'src/plugins/grpc/wire' }] as const

/** `erasable_syntax`: no TypeScript enums, which our compiler settings refuse. */
const OPTIONS = ['target=ts', 'import_extension=ts', 'erasable_syntax=true']

type Output = (typeof OUTPUTS)[number]

/** The script of a package's command; the error says what to do where it is not installed. */
function command(packageName: string, script: string): string {
  try {
    return join(dirname(Bun.resolveSync(`${packageName}/package.json`, ROOT)), 'bin', script)
  } catch (cause) {
    throw new Error(`${packageName} is not installed; run npm install`, { cause })
  }
}

async function generate(output: Output, target: string): Promise<void> {
  const generator = [process.execPath, command('@bufbuild/protoc-gen-es', 'protoc-gen-es')]
  const template = { version: 'v2', plugins: [{ local: generator, out: target, opt: OPTIONS }] }
  const paths = output.packages.flatMap((name) => ['--path', join(ROOT, 'proto', name)])
  const buf = command('@bufbuild/buf', 'buf')
  const child = Bun.spawn(
    [process.execPath, buf, 'generate', 'proto', ...paths, '--template', JSON.stringify(template)],
    {
      cwd: ROOT,
      // Its cache would otherwise land in the home folder of whoever builds.
      env: { ...process.env, BUF_CACHE_DIR: target },
      stdout: 'ignore',
      stderr: 'pipe',
    },
  )
  const complaint = await new Response(child.stderr).text()
  if ((await child.exited) !== 0) throw new Error(`buf generate: ${complaint.trim()}`)
}

/** The generated files of a folder, by their path inside it. */
async function filesOf(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  for (const name of names.filter((each) => each.endsWith('_pb.ts')).sort()) {
    found.set(name, await readFile(join(folder, name), 'utf8'))
  }
  return found
}

/** Makes the code of one output in a folder that is gone afterwards. */
async function generated(output: Output): Promise<Map<string, string>> {
  const target = await mkdtemp(join(tmpdir(), 'proto-'))
  try {
    await generate(output, target)
    return await filesOf(target)
  } finally {
    await rm(target, { recursive: true, force: true })
  }
}

/** Paths of generated files that differ from what `proto/` would give, are missing or are left. */
export async function staleFiles(): Promise<string[]> {
  const stale: string[] = []
  for (const output of OUTPUTS) {
    const wanted = await generated(output)
    const present = await filesOf(join(ROOT, output.folder))
    for (const name of new Set([...wanted.keys(), ...present.keys()])) {
      if (wanted.get(name) !== present.get(name)) stale.push(join(output.folder, name))
    }
  }
  return stale
}

async function write(): Promise<void> {
  for (const output of OUTPUTS) {
    const folder = join(ROOT, output.folder)
    const wanted = await generated(output)
    for (const name of (await filesOf(folder)).keys()) await rm(join(folder, name))
    for (const [name, text] of wanted) await Bun.write(join(folder, name), text)
  }
}

if (import.meta.main) {
  if (process.argv.includes('--check')) {
    const stale = await staleFiles()
    for (const path of stale) process.stderr.write(`${path} is stale; run bun scripts/proto.ts\n`)
    process.exitCode = stale.length === 0 ? 0 : 1
  } else {
    await write()
  }
}
