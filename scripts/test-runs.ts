/** Runs the tools of the gate, each with its output kept for when it has ended. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PORTS_VARIABLE, portsOf } from '../test/kit/free-port.ts'
import { readReport, type TestReport } from '../test/kit/junit.ts'

export const ROOT = resolve(import.meta.dir, '..')
const TEST_MS_MAX = 30_000
/** A part that takes longer than any may is ended, and what it said so far is shown. */
const PART_MS_MAX = 10 * 60_000

/** Status and output of a command; what it says as results and as errors stay in their order. */
export async function runTool(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly output: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-output-'))
  try {
    const file = Bun.file(join(folder, 'output'))
    // One file for both, so that their lines do not change places.
    const script = 'exec "$@" >"$0" 2>&1'
    const child = Bun.spawn(['sh', '-c', script, file.name!, ...argv], {
      cwd: ROOT,
      env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}), ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), PART_MS_MAX)
    const status = await child.exited
    clearTimeout(timer)
    const late = child.signalCode === 'SIGKILL' ? `\nended after ${PART_MS_MAX / 60_000} min` : ''
    return { status, output: (await file.text()) + late }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Runs test files in one process, with ports that no other lane's tests have. */
export async function runTests(
  files: readonly string[],
  lane: number,
  lanes: number,
): Promise<{ readonly status: number; readonly output: string; readonly report: TestReport }> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-report-'))
  try {
    const path = join(folder, 'junit.xml')
    const argv = [process.execPath, 'test', `--timeout=${TEST_MS_MAX}`, '--reporter=junit']
    const paths = files.map((file) => `./${file}`)
    const ended = await runTool([...argv, `--reporter-outfile=${path}`, ...paths], {
      [PORTS_VARIABLE]: portsOf(lane, lanes),
    })
    return { ...ended, report: readReport(existsSync(path) ? readFileSync(path, 'utf8') : '') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
