import { afterEach, beforeEach, expect, test } from 'bun:test'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { identityOf } from '../../src/admin/process-identity.ts'
import { noteProcess, reapProcesses } from '../../src/admin/process-notes.ts'
import { until } from '../kit/traffic.ts'

let folder = ''
const children: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'notes-'))
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const mustNotFail = (sentence: string): never => {
  throw new Error(sentence)
}

/** A process that leads a group of its own, as those of plugins do. */
function started(command = 'sleep', ...args: readonly string[]): number {
  const child = spawn(command, args.length === 0 ? ['600'] : args, { detached: true })
  children.push(child)
  return child.pid!
}

const pathOf = (pid: number): string => join(folder, 'processes', `${pid}.json`)

/** A process that is noted, with what its note is then made to say. */
function noted(changes: Readonly<Record<string, unknown>> = {}): number {
  const pid = started()
  noteProcess(folder, pid, mustNotFail)
  const note = JSON.parse(readFileSync(pathOf(pid), 'utf8'))
  writeFileSync(pathOf(pid), JSON.stringify({ ...note, ...changes }))
  return pid
}

test('a process that is still the one noted is ended, and is gone then', () => {
  const [one, other] = [noted(), noted()]
  const unnoted = started()
  const { ended, left, unreadable } = reapProcesses(folder)
  expect(ended.toSorted()).toEqual([one, other].toSorted())
  expect([left, unreadable]).toEqual([[], []])
  expect(identityOf(one)).toBeNull()
  expect(identityOf(other)).toBeNull()
  expect(identityOf(unnoted)).not.toBeNull()
})

test('its children in its group end with it', async () => {
  const pid = started('sh', '-c', 'sleep 600 & echo $!; wait')
  const output = children.at(-1)!.stdout!
  const child = await new Promise<number>((told) => {
    output.once('data', (printed) => told(Number(String(printed))))
  })
  noteProcess(folder, pid, mustNotFail)
  expect(reapProcesses(folder).ended).toEqual([pid])
  await until('it has ended too', () => identityOf(child) === null)
})

test.each([
  ['another start', { startTicks: '1' }],
  ['another boot', { bootId: '00000000-0000-0000-0000-000000000000' }],
  ['another program', { executable: '1:1' }],
  ['a start unlike any', { startTicks: '' }],
  ['a boot unlike any', { bootId: '' }],
  ['a program unlike any', { executable: '' }],
])('a process with %s than noted is another one, and is left alone', (_, changes) => {
  const pid = noted(changes)
  expect(reapProcesses(folder)).toEqual({ ended: [], left: [], unreadable: [] })
  expect(identityOf(pid)).not.toBeNull()
})

test.each([
  ['a half', (whole: string) => whole.slice(0, whole.length / 2)],
  ['nothing', () => ''],
  ['a list', () => '[]'],
  ['no number', (whole: string) => whole.replace(/"pid":\d+/, '"pid":"all"')],
  ['the first process', (whole: string) => whole.replace(/"pid":\d+/, '"pid":1')],
  ['our own process', (whole: string) => whole.replace(/"pid":\d+/, `"pid":${process.pid}`)],
])('a note that is %s is told of, and ends nobody', (_, torn) => {
  const pid = noted()
  writeFileSync(pathOf(pid), torn(readFileSync(pathOf(pid), 'utf8')))
  const sound = noted()
  const reaped = reapProcesses(folder)
  expect(reaped).toEqual({ ended: [sound], left: [], unreadable: [pathOf(pid)] })
  expect(identityOf(pid)).not.toBeNull()
})

test('a process that has ended is forgotten, and one noted to have ended is not looked for', () => {
  const pid = started()
  const note = noteProcess(folder, pid, mustNotFail)
  expect(statSync(pathOf(pid)).mode & 0o777).toBe(0o600)
  note.ended()
  expect(existsSync(pathOf(pid))).toBe(false)
  note.ended()
  expect(reapProcesses(folder).ended).toEqual([])
})

test('a program that became another is noted anew', async () => {
  const pid = started('sh', '-c', 'read line; exec sleep 600')
  const note = noteProcess(folder, pid, mustNotFail)
  const child = children.at(-1)!
  child.stdin!.end('\n')
  while (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep')) {
    await new Promise(setImmediate)
  }
  expect(reapProcesses(folder).ended).toEqual([])
  note.settled([])
  expect(reapProcesses(folder).ended).toEqual([pid])
})

test('sockets that it told of are removed, where they are its own still', async () => {
  const pid = started()
  const [own, taken] = [join(folder, 'own'), join(folder, 'taken')]
  const listen = async (path: string) => {
    const server = createServer()
    await new Promise<void>((done) => server.listen(path, done))
    return server
  }
  const servers = [await listen(own), await listen(taken)]
  noteProcess(folder, pid, mustNotFail).settled([own, taken, join(folder, 'nowhere')])
  rmSync(taken)
  // As long as the old one is open its inode is not given to another.
  servers.push(await listen(taken))
  reapProcesses(folder)
  expect([existsSync(own), existsSync(taken)]).toEqual([false, true])
  for (const server of servers) server.close()
})

test('a note that cannot be written is told of', () => {
  writeFileSync(join(folder, 'processes'), 'a file in the place of the folder')
  const told: string[] = []
  noteProcess(folder, started(), (sentence) => told.push(sentence)).ended()
  expect(told[0]).toContain('cannot be written')
  expect(told[1]).toContain('cannot be removed')
  expect(reapProcesses(folder).ended).toEqual([])
})
