/** What is built from files follows them, and outlives those that cannot be used. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WatchedFiles } from '../../src/base/watched-files.ts'
import { makePemFolder, type PemFolder } from '../kit/certificates.ts'

let folder: PemFolder
let told: string[]
beforeEach(() => {
  folder = makePemFolder()
  told = []
})
afterEach(() => folder[Symbol.dispose]())

function watched(path: string): WatchedFiles<string> {
  return new WatchedFiles({
    paths: [path],
    build() {
      const text = readFileSync(path, 'utf8')
      if (text === 'bad') throw new Error('bad text')
      return text
    },
    rebuilt: (built) => void told.push(built),
    failed: (cause) => void told.push(String(cause)),
  })
}

test('a file that is not there at the start is an error', () => {
  expect(() => watched(join(folder.path, 'none'))).toThrow('ENOENT')
})

test('a file that is renamed into place is read again, and one that stays is not', async () => {
  const files = watched(folder.write('a', 'one'))
  await files.look()
  await files.look()
  expect(told).toEqual([])
  folder.write('a', 'two')
  await files.look()
  expect(files.current).toBe('two')
  await files.look()
  expect(told).toEqual(['two'])
})

test('what cannot be used, or is gone, leaves what there was, and is told once', async () => {
  const path = folder.write('a', 'one')
  const files = watched(path)
  await files.look()
  folder.write('a', 'bad')
  await files.look()
  await files.look()
  expect(files.current).toBe('one')
  rmSync(path)
  await files.look()
  expect(told).toEqual(['Error: bad text', expect.stringContaining('ENOENT')])
  folder.write('a', 'three')
  await files.look()
  expect(files.current).toBe('three')
})

test('a folder that is swapped by its link is noticed, as in a container', async () => {
  const base = mkdtempSync(join(tmpdir(), 'postern-swap-'))
  const publish = (name: string, text: string): void => {
    mkdirSync(join(base, name))
    Bun.spawnSync(['sh', '-c', `printf %s ${text} > ${join(base, name, 'a')}`])
    symlinkSync(name, join(base, 'next'))
    renameSync(join(base, 'next'), join(base, 'live'))
  }
  publish('first', 'one')
  const files = watched(join(base, 'live', 'a'))
  await files.look()
  publish('second', 'two')
  await files.look()
  expect(files.current).toBe('two')
  rmSync(base, { recursive: true })
})

test('looks are made now and then, until they are stopped', async () => {
  const files = watched(folder.write('a', 'one'))
  files.watch()
  folder.write('a', 'other')
  while (files.current !== 'other') await Bun.sleep(10)
  files.stop()
  expect(told).toEqual(['other'])
})

test('what changes while it is read is read once more', async () => {
  const path = folder.write('a', 'one')
  const read: string[] = []
  const files = new WatchedFiles({
    paths: [path],
    build() {
      read.push(readFileSync(path, 'utf8'))
      if (read.length === 1) folder.write('a', 'other')
      return read.at(-1)!
    },
    rebuilt() {},
    failed() {},
  })
  await files.look()
  expect(read).toEqual(['one', 'other'])
})

test('who asks often looks seldom', async () => {
  const files = watched(folder.write('a', 'one'))
  await files.look()
  folder.write('a', 'two')
  await files.lookIfDue(performance.now())
  expect(files.current).toBe('one')
  await files.lookIfDue(performance.now() + 10_000)
  expect(files.current).toBe('two')
})
