/**
 * What a gateway that is killed leaves behind: the next one to start ends the plugins of the dead
 * one and removes their sockets, and touches nothing else.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { identityOf } from '../../src/admin/process-identity.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import {
  type Entry,
  entryOf,
  HAS_GO,
  isUsable,
  linesWith,
  listed,
  login,
  scripted,
  startWith,
} from './plugins-scene.ts'
import { buildRecorders } from './recorder-scene.ts'

let postgres: PostgresServer
let folder: string
const strays: number[] = []
beforeAll(async () => {
  await buildRecorders()
  postgres = await startPostgres()
  folder = mkdtempSync(join(tmpdir(), 'reap-'))
}, 600_000)
afterAll(async () => {
  for (const pid of strays) {
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // The gateway has ended it, as it should.
    }
  }
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

/** A folder for the sockets of gateways, which outlives them. */
function runFolder(): string {
  const run = mkdtempSync(join(folder, 'r-'))
  chmodSync(run, 0o700)
  return run
}

/** One plugin of each kind of program: Go where it is there, TypeScript, and behind a script. */
function plugins(): readonly Entry[] {
  const launcher = join(folder, 'launcher')
  writeFileSync(launcher, '#!/bin/sh\nexec "$PROGRAM"\n')
  chmodSync(launcher, 0o755)
  const typescript = entryOf('scripted')
  const checksum = new Bun.CryptoHasher('sha256').update(readFileSync(launcher)).digest('hex')
  const env = ['HOOKS=16', `PROGRAM=${typescript['localPath']}`]
  return [
    entryOf(HAS_GO ? 'echo-go' : 'scripted', { name: 'one' }),
    scripted({}, { name: 'two' }),
    { name: 'three', localPath: launcher, checksum, env },
  ]
}

async function start(run: string, entries = plugins()): Promise<RunningGateway> {
  return await startWith(postgres, { plugins: entries, env: { XDG_RUNTIME_DIR: run } })
}

async function pidsOf(gateway: RunningGateway): Promise<number[]> {
  const pids = (await listed(gateway)).flatMap(({ pid }) => (pid === null ? [] : [pid]))
  strays.push(...pids)
  return pids
}

const areAlive = (pids: readonly number[]): boolean[] => pids.map((pid) => identityOf(pid) !== null)

const notePath = (run: string, gateway: number, pid: number): string =>
  join(run, 'postern', String(gateway), 'processes', `${pid}.json`)

/** All files and sockets below a folder. */
const filesIn = (run: string): readonly string[] =>
  readdirSync(run, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))

test('plugins of a killed gateway are ended by the next one, which has its own', async () => {
  const run = runFolder()
  const killed = await start(run)
  const old = await pidsOf(killed)
  expect(old).toHaveLength(3)
  await killed.kill()
  // Nobody but the next gateway ends them.
  expect(areAlive(old)).toEqual([true, true, true])
  const left = filesIn(run)
  expect(left.length).toBeGreaterThan(old.length)
  await using next = await start(run)
  expect(areAlive(old)).toEqual([false, false, false])
  const told = linesWith(next.log(), ['ended a plugin that a killed gateway had left'])
  expect(told).toHaveLength(3)
  const fresh = await pidsOf(next)
  expect(areAlive(fresh)).toEqual([true, true, true])
  using wire = await login(next, postgres)
  expect(await isUsable(wire)).toBeTrue()
  expect(left.filter((path) => existsSync(path))).toEqual([])
})

test('plugins of a gateway that runs are not touched, whoever was killed beside it', async () => {
  const run = runFolder()
  await using neighbour = await start(run)
  const theirs = await pidsOf(neighbour)
  const killed = await start(run)
  const old = await pidsOf(killed)
  await killed.kill()
  await using _next = await start(run)
  expect(areAlive(old)).toEqual([false, false, false])
  expect(areAlive(theirs)).toEqual([true, true, true])
  using wire = await login(neighbour, postgres)
  expect(await isUsable(wire)).toBeTrue()
  expect((await listed(neighbour)).map(({ restarts }) => restarts)).toEqual([0, 0, 0])
})

test('a number that another process has by now, and a torn note, end nobody', async () => {
  const run = runFolder()
  const killed = await start(run)
  const old = await pidsOf(killed)
  await killed.kill()
  const [recycled, torn, sound] = old.map((pid) => notePath(run, killed.pid, pid))
  const note = JSON.parse(readFileSync(recycled!, 'utf8'))
  writeFileSync(recycled!, JSON.stringify({ ...note, startTicks: `${note.startTicks}0` }))
  writeFileSync(torn!, readFileSync(torn!, 'utf8').slice(0, 30))
  expect(existsSync(sound!)).toBeTrue()
  await using next = await start(run)
  expect(areAlive(old)).toEqual([true, true, false])
  expect(linesWith(next.log(), ['WRN', `${torn} cannot be read`])).toHaveLength(1)
  expect(linesWith(next.log(), [String(old[0]), 'ended a plugin'])).toEqual([])
})

test('a process of the same number in another program is left alone', async () => {
  const run = runFolder()
  const killed = await start(run, [scripted()])
  const [old] = await pidsOf(killed)
  await killed.kill()
  const path = notePath(run, killed.pid, old!)
  const note = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(path, JSON.stringify({ ...note, executable: '1:1' }))
  await using _next = await start(run)
  expect(areAlive([old!])).toEqual([true])
})

test('a plugin that is restarted or stopped leaves no note', async () => {
  const run = runFolder()
  await using gateway = await start(run, [scripted()])
  const [before] = await pidsOf(gateway)
  expect(existsSync(notePath(run, gateway.pid, before!))).toBeTrue()
  process.kill(before!, 'SIGKILL')
  let after = before
  while (after === before || after === undefined) [after] = await pidsOf(gateway)
  expect(existsSync(notePath(run, gateway.pid, before!))).toBeFalse()
  expect(existsSync(notePath(run, gateway.pid, after))).toBeTrue()
  expect((await gateway.stop()).status).toBe(0)
  expect(filesIn(run)).toEqual([])
})

test('a folder that was left without notes is removed, and others stay', async () => {
  const run = runFolder()
  const shared = join(run, 'postern')
  mkdirSync(join(shared, '999999999'), { recursive: true, mode: 0o700 })
  chmodSync(shared, 0o700)
  mkdirSync(join(shared, 'of-somebody'))
  await using _gateway = await start(run, [scripted()])
  const names = readdirSync(shared)
  expect(names).not.toContain('999999999')
  expect(names).toContain('of-somebody')
})
