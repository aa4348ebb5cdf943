/** A real MariaDB for one test: its data are made anew, and gone at the end. */
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../bench/programs.ts'
import { makeAuthority } from './certificates.ts'
import { type CommandResult, run } from './command.ts'
import { freePort } from './free-port.ts'
import { startWatchdog } from './watchdog.ts'

const server = findProgram('mariadbd')
const install = findProgram('mariadb-install-db')
const client = findProgram('mariadb')

/** False where it is not installed (`apt-get install mariadb-server`): such tests are skipped. */
export const hasMariadb = server !== null && install !== null && client !== null

const START_TIMEOUT_MS = 20_000
const PASSWORD = 'secret-word'

export interface RunningMariadb {
  readonly port: number
  /** Its authority, as a file. */
  readonly authorityPath: string
  /** Runs a statement by the real client, through whatever listens on this port. */
  ask(port: number, sql: string, args?: readonly string[]): Promise<CommandResult>
  [Symbol.asyncDispose](): Promise<void>
}

export async function startMariadb(): Promise<RunningMariadb> {
  if (server === null || install === null || client === null) throw new Error('no MariaDB here')
  const folder = mkdtempSync(join(tmpdir(), 'postern-mariadb-'))
  const datadir = join(folder, 'data')
  mkdirSync(datadir)
  const files = await certificates(folder)
  const sql = `ALTER USER root@localhost IDENTIFIED BY '${PASSWORD}'`
  writeFileSync(join(folder, 'init.sql'), `${sql};\n`)
  // As root it runs as root; a user of the tests owns the folder anyway.
  const user = process.getuid?.() === 0 ? ['--user=root'] : []
  const made = await run([install, '--no-defaults', ...user, `--datadir=${datadir}`, ...INSTALL])
  if (made.status !== 0) throw new Error(made.stdout + made.stderr)
  const port = await freePort()
  const child = Bun.spawn(
    [
      ...[server, '--no-defaults', ...user, `--datadir=${datadir}`, `--port=${port}`],
      ...[`--socket=${join(folder, 's')}`, `--init-file=${join(folder, 'init.sql')}`],
      ...['--bind-address=127.0.0.1', '--max-allowed-packet=64M'],
      ...[`--ssl-ca=${files.authority}`, `--ssl-cert=${files.certificate}`],
      `--ssl-key=${files.key}`,
    ],
    { stdout: 'ignore', stderr: 'ignore' },
  )
  const watchdog = startWatchdog({ folder, signal: 'KILL', process: child.pid })
  const ask: RunningMariadb['ask'] = (at, statement, args = []) =>
    run([
      ...[client, '--no-defaults', '-h', '127.0.0.1', '-P', String(at), '-u', 'root', '-N', '-B'],
      ...[`-p${PASSWORD}`, '--max-allowed-packet=64M', ...args, '-e', statement],
    ])
  const until = Date.now() + START_TIMEOUT_MS
  while ((await ask(port, 'select 1')).status !== 0) {
    if (Date.now() > until || child.exitCode !== null) throw new Error('MariaDB does not start')
    await Bun.sleep(50)
  }
  return {
    port,
    authorityPath: files.authority,
    ask,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
      await watchdog.release()
    },
  }
}

const INSTALL = ['--skip-test-db', '--auth-root-authentication-method=normal']

async function certificates(folder: string) {
  const authority = await makeAuthority()
  const issued = await authority.issue({ subject: 'CN=localhost', addresses: ['127.0.0.1'] })
  const write = (name: string, pem: string): string => {
    const path = join(folder, name)
    writeFileSync(path, pem)
    chmodSync(path, 0o600)
    return path
  }
  return {
    authority: write('ca.pem', authority.certificate),
    certificate: write('server.pem', issued.certificate),
    key: write('server.key', issued.key),
  }
}
