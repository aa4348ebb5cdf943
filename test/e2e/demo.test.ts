import { afterEach, beforeEach, expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { runPostern } from '../kit/gateway.ts'
import { runningProcesses } from '../kit/processes.ts'

const ROOT = resolve(import.meta.dir, '../..')
const TIMEOUT_MS = 120_000

/** Whatever the demo starts has this path in its environment or its command line. */
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-demo-test-'))
  // PostgreSQL may run as another account.
  chmodSync(folder, 0o711)
  mkdirSync(join(folder, 'run'), { mode: 0o700 })
  mkdirSync(join(folder, 'tmp'))
  chmodSync(join(folder, 'tmp'), 0o1777)
})
afterEach(() => rmSync(folder, { recursive: true }))

function startDemo(args: readonly string[]) {
  const { PATH, HOME } = process.env
  return Bun.spawn([process.execPath, join(ROOT, 'scripts/demo.ts'), ...args], {
    cwd: ROOT,
    env: { PATH, HOME, XDG_RUNTIME_DIR: join(folder, 'run'), TMPDIR: join(folder, 'tmp') },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
}

/** Processes of any user that the demo has started and that still run. */
function leftProcesses(): readonly string[] {
  return runningProcesses()
    .filter(({ commandLine, environment }) => (commandLine + environment).includes(folder))
    .map(({ commandLine }) => commandLine.replaceAll('\0', ' '))
}

function mustBeGone(): void {
  expect(leftProcesses()).toEqual([])
  expect(readdirSync(join(folder, 'tmp'))).toEqual([])
  expect(readdirSync(join(folder, 'run')).flatMap(filesIn)).toEqual([])
}

const filesIn = (name: string): readonly string[] => readdirSync(join(folder, 'run', name))

test(
  'the demo shows one statement refused, the others passed, and ends by itself with 0',
  async () => {
    const demo = startDemo(['--once'])
    const [shown, errors, status] = await Promise.all([
      demo.stdout.text(),
      demo.stderr.text(),
      demo.exited,
    ])
    expect({ status, errors, shown }).toMatchObject({ status: 0, errors: '' })
    expect(shown).toMatch(/^DROP TABLE orders +ERROR 42000: .+ DROP orders +refused$/m)
    expect(shown).toMatch(/^SELECT count\(\*\) FROM orders +1 row: 2 +SELECT orders +passed$/m)
    expect(shown.match(/ refused$/gm)).toHaveLength(1)
    expect(shown).toMatch(/^audit +wasm +ready +\d+ +\d+ +0$/m)
    expect(shown).toMatch(/^guard +grpc +ready +\d+ +\d+ +0$/m)
    expect(shown).toContain('everything was as it must be')
    // Nobody looks at colours here, and nobody wants the log.
    expect(shown).not.toContain('\u001b')
    expect(shown).not.toContain('"level"')
    mustBeGone()
  },
  TIMEOUT_MS,
)

test(
  'the demo runs on until Ctrl-C, with files that lint, and leaves nothing behind',
  async () => {
    const demo = startDemo([])
    let shown = ''
    const decoder = new TextDecoder()
    for await (const chunk of demo.stdout) {
      const before = shown
      shown += decoder.decode(chunk, { stream: true })
      if (before.includes('Ctrl-C stops') || !shown.includes('Ctrl-C stops')) continue
      const config = join(ROOT, '.cache/demo/postern.yaml')
      const plugins = join(ROOT, '.cache/demo/postern_plugins.yaml')
      const lint = await runPostern(['config', 'lint', '-c', config, '-p', plugins])
      expect(lint).toMatchObject({ status: 0, stderr: '' })
      expect(leftProcesses().length).toBeGreaterThan(2)
      demo.kill('SIGINT')
    }
    expect({ status: await demo.exited, shown }).toMatchObject({ status: 0 })
    expect(await demo.stderr.text()).toBe('')
    expect(existsSync(join(ROOT, '.cache/demo/postern.log'))).toBeTrue()
    mustBeGone()
  },
  TIMEOUT_MS,
)
