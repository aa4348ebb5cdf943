import { afterEach, beforeEach, expect, test } from 'bun:test'
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isFolderLocked, lockFolder } from '../../src/admin/folder-lock.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'))
})
afterEach(() => {
  chmodSync(folder, 0o700)
  rmSync(folder, { recursive: true, force: true })
})

test('a folder is locked until it is unlocked, and can be locked again', () => {
  expect(isFolderLocked(folder)).toBe(false)
  const unlock = lockFolder(folder)
  expect(isFolderLocked(folder)).toBe(true)
  // Looking takes nothing away.
  expect(isFolderLocked(folder)).toBe(true)
  expect(readdirSync(folder)).toEqual(['lock'])
  expect(statSync(join(folder, 'lock')).size).toBe(0)
  unlock()
  unlock()
  expect(isFolderLocked(folder)).toBe(false)
  const again = lockFolder(folder)
  expect(isFolderLocked(folder)).toBe(true)
  again()
})

test('the lock ends with the process that holds it, not with those that it started', async () => {
  const module = join(import.meta.dir, '../../src/admin/folder-lock.ts')
  const source = `import { lockFolder } from '${module}'
    import { spawn } from 'node:child_process'
    globalThis.unlock = lockFolder('${folder}')
    const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' })
    process.stdout.write(String(child.pid))
    setInterval(() => {}, 1000)`
  const holder = Bun.spawn([process.execPath, '-e', source])
  const left = Number(new TextDecoder().decode((await holder.stdout.getReader().read()).value))
  expect(isFolderLocked(folder)).toBe(true)
  holder.kill('SIGKILL')
  await holder.exited
  expect(isFolderLocked(folder)).toBe(false)
  expect(() => process.kill(left, 'SIGKILL')).not.toThrow()
})

test('a folder that is not there, or cannot be written, is not locked', () => {
  const nowhere = join(folder, 'nowhere')
  lockFolder(nowhere)()
  expect(isFolderLocked(nowhere)).toBe(false)
})
