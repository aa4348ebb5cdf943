import { afterEach, beforeEach, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isFolderLocked, lockFolder } from '../../src/admin/folder-lock.ts'
import { findInstances, openRunFolder } from '../../src/admin/run-folder.ts'
import { GatewayError } from '../../src/base/errors.ts'

let home = ''
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'run-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

/** The folder of this test as the user's own, and for temporary files too. */
function environment(): Record<string, string> {
  return { XDG_RUNTIME_DIR: home, TMPDIR: home }
}

/** The identity file of a process that was killed. */
function leaveDead(shared: string, name: string): string {
  const folder = join(shared, name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(shared, 0o700)
  const identity = { pid: process.pid, startTicks: '1', bootId: 'another', startedAtMs: 1 }
  writeFileSync(join(folder, 'instance.json'), JSON.stringify(identity))
  return folder
}

test('an instance has a private folder of its own below the user folder', () => {
  const folder = openRunFolder(environment())
  expect(folder.path).toBe(join(home, 'postern', String(process.pid)))
  expect(folder.controlSocket).toBe(join(folder.path, 'control.sock'))
  expect(statSync(folder.path).mode & 0o777).toBe(0o700)
  expect(statSync(join(home, 'postern')).mode & 0o777).toBe(0o700)
  folder.close()
  folder.close()
  expect(existsSync(folder.path)).toBe(false)
})

test('two gateways in one process do not share a folder', () => {
  const one = openRunFolder(environment())
  const other = openRunFolder(environment())
  expect(other.path).toBe(`${one.path}.2`)
  expect(findInstances(environment()).map(({ folder }) => folder)).toContain(other.path)
  one.close()
  expect(existsSync(other.path)).toBe(true)
  other.close()
})

test('an existing folder that others may read is closed to them', () => {
  mkdirSync(join(home, 'postern'), { mode: 0o755 })
  const folder = openRunFolder(environment())
  expect(statSync(join(home, 'postern')).mode & 0o777).toBe(0o700)
  folder.close()
})

test.each([
  ['a symbolic link', () => symlinkSync(tmpdir(), join(home, 'postern')), /is a symbolic link/],
  ['a file', () => writeFileSync(join(home, 'postern'), ''), /is no folder/],
  [
    'a folder that others may write to',
    () => {
      mkdirSync(join(home, 'postern'))
      chmodSync(join(home, 'postern'), 0o777)
    },
    /others may write to it/,
  ],
])('%s in the place of the folder is refused, with the cure', (_, prepare, message) => {
  prepare()
  const open = () => openRunFolder(environment())
  expect(open).toThrow(GatewayError)
  expect(open).toThrow(message)
  expect(open).toThrow(/remove it, or set XDG_RUNTIME_DIR/)
})

test.skipIf(process.getuid?.() !== 0)(
  "another user's folder is refused, and XDG_RUNTIME_DIR of another user ignored (needs root)",
  () => {
    mkdirSync(join(home, 'postern'), { mode: 0o700 })
    Bun.spawnSync(['chown', '65534', join(home, 'postern')])
    expect(() => openRunFolder(environment())).toThrow(/it belongs to the user 65534/)
    Bun.spawnSync(['chown', '65534', home])
    expect(findInstances(environment()).every(({ folder }) => !folder.startsWith(home))).toBe(true)
  },
)

test('a path too long for a socket is refused, with the cure', () => {
  const long = join(home, 'x'.repeat(80))
  mkdirSync(long)
  expect(() => openRunFolder({ XDG_RUNTIME_DIR: long })).toThrow(
    /is too long: .* 107 bytes; set XDG_RUNTIME_DIR/,
  )
})

test('folders of killed gateways are told to the reaper, then removed; others stay', () => {
  const shared = join(home, 'postern')
  const dead = leaveDead(shared, '999999999')
  writeFileSync(join(dead, 'plugin.sock'), '')
  const recycled = leaveDead(shared, String(process.ppid))
  const starting = join(shared, '1')
  mkdirSync(starting)
  const foreign = join(shared, 'notes')
  mkdirSync(foreign)
  const reaped: string[] = []
  const folder = openRunFolder(environment(), {
    reap: (path) => reaped.push(`${path} ${readdirSync(path).length}`) > 0,
  })
  expect(reaped.toSorted()).toEqual([`${dead} 2`, `${recycled} 1`].toSorted())
  expect(existsSync(dead)).toBe(false)
  expect(existsSync(starting)).toBe(true)
  expect(existsSync(foreign)).toBe(true)
  folder.close()
})

test('a folder of which the reaper could not end everything stays for the next start', () => {
  const dead = leaveDead(join(home, 'postern'), '999999999')
  const folder = openRunFolder(environment(), { reap: () => false })
  expect(existsSync(dead)).toBe(true)
  folder.close()
  openRunFolder(environment(), { reap: () => true }).close()
  expect(existsSync(dead)).toBe(false)
})

test('a folder that is locked is in use, whatever its process seems to be', () => {
  const foreign = leaveDead(join(home, 'postern'), '999999999')
  const unlock = lockFolder(foreign)
  openRunFolder(environment()).close()
  expect(existsSync(foreign)).toBe(true)
  unlock()
  openRunFolder(environment()).close()
  expect(existsSync(foreign)).toBe(false)
})

test('the folder of an instance is locked as long as it is there', () => {
  const folder = openRunFolder(environment())
  expect(isFolderLocked(folder.path)).toBe(true)
  folder.close()
  expect(isFolderLocked(folder.path)).toBe(false)
})

test('a process is noted in the folder of the instance, and the note goes with it', () => {
  const folder = openRunFolder(environment())
  const note = folder.note(process.pid, (sentence) => expect(sentence).toBe(''))
  const path = join(folder.path, 'processes', `${process.pid}.json`)
  expect(existsSync(path)).toBe(true)
  note.ended()
  expect(existsSync(path)).toBe(false)
  folder.close()
})

test('a folder left by an earlier process of our own number is replaced', () => {
  const left = leaveDead(join(home, 'postern'), String(process.pid))
  writeFileSync(join(left, 'control.sock'), 'old')
  const folder = openRunFolder(environment())
  expect(folder.path).toBe(left)
  expect(existsSync(folder.controlSocket)).toBe(false)
  folder.close()
})

test('running gateways are found, the newest first; killed ones are not', () => {
  leaveDead(join(home, 'postern'), '999999998')
  const one = openRunFolder(environment())
  leaveDead(join(home, 'postern'), '999999999')
  const found = findInstances(environment()).filter(({ folder }) => folder.startsWith(home))
  expect(found.map(({ folder, pid }) => [folder, pid])).toEqual([[one.path, process.pid]])
  one.close()
})

test('a process that was killed leaves a folder that the next one removes', async () => {
  const module = join(import.meta.dir, '../../src/admin/run-folder.ts')
  const source = `import { openRunFolder } from '${module}'
    const folder = openRunFolder(process.env)
    process.stdout.write(folder.path)
    setInterval(() => {}, 1000)`
  const child = Bun.spawn([process.execPath, '-e', source], {
    env: { ...process.env, ...environment() },
  })
  const path = new TextDecoder().decode((await child.stdout.getReader().read()).value)
  const alive = openRunFolder(environment())
  expect(existsSync(path)).toBe(true)
  child.kill('SIGKILL')
  await child.exited
  const next = openRunFolder(environment())
  expect(existsSync(path)).toBe(false)
  alive.close()
  next.close()
})
