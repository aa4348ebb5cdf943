/** Which file an upgrade starts: the one that lies where this process was called from. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { commandLine } from '../../src/upgrade/executable.ts'

let folder = ''
let file = ''
let link = ''
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'executable-')))
  file = join(folder, 'postern-1.2.3')
  link = join(folder, 'postern')
  writeFileSync(file, '', { mode: 0o755 })
  symlinkSync(file, link)
})
afterAll(() => rmSync(folder, { recursive: true }))

const commandOf = (argv0: string): readonly string[] =>
  commandLine({ argv0, execPath: file, program: null, arguments: ['run', '-c', 'a.yaml'] })

test('a path stays as it is, also where it is a symbolic link', () => {
  expect(commandOf(file)).toEqual([file, 'run', '-c', 'a.yaml'])
  expect(commandOf(link)).toEqual([link, 'run', '-c', 'a.yaml'])
})

test('a path from the working folder becomes a whole one', () => {
  expect(commandOf(relative(process.cwd(), link))[0]).toBe(link)
})

test('a name that is not its own is not believed', () => {
  expect(commandOf('/bin/sh')[0]).toBe(file)
  expect(commandOf('no-such-program')[0]).toBe(file)
  expect(commandOf('/proc/self/exe')[0]).toBe(file)
})

test('a program that is interpreted is started by its interpreter', () => {
  const origin = { argv0: 'bun', execPath: '/usr/bin/bun', program: '/srv/main.ts' }
  expect(commandLine({ ...origin, arguments: ['run'] })).toEqual([
    '/usr/bin/bun',
    '/srv/main.ts',
    'run',
  ])
})
