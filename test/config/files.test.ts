/** Reading files from the disk, within limits. */
import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FILE_BYTES_MAX, readTextFile } from '../../src/config/files.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-files-'))
afterAll(() => rmSync(folder, { recursive: true }))

function written(name: string, content: string | Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

test('a text file is read whole, up to the limit and not beyond it', () => {
  expect(readTextFile(written('a', 'über'))).toEqual({ kind: 'text', text: 'über' })
  expect(readTextFile(written('b', ''))).toEqual({ kind: 'text', text: '' })
  const longest = 'x'.repeat(FILE_BYTES_MAX)
  expect(readTextFile(written('c', longest))).toEqual({ kind: 'text', text: longest })
  expect(readTextFile(written('d', `${longest}x`))).toEqual({
    kind: 'refused',
    message: 'it is longer than 1048576 bytes',
  })
})

test('a file without an end is refused too', () => {
  expect(readTextFile('/dev/zero').kind).toBe('refused')
})

test('what is not there is absent; what is there but no text is refused', () => {
  expect(readTextFile(join(folder, 'gone'))).toEqual({ kind: 'absent' })
  expect(readTextFile(join(written('file', ''), 'below'))).toEqual({ kind: 'absent' })
  expect(readTextFile(folder)).toEqual({ kind: 'refused', message: 'it is a folder' })
  expect(readTextFile(written('e', new Uint8Array([0xff, 0xfe])))).toEqual({
    kind: 'refused',
    message: 'it is not UTF-8 text',
  })
})
