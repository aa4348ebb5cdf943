/** What killed processes leave is removed; what is another's stays. */
import { afterAll, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeSockets } from '../../../src/plugins/grpc/sockets.ts'

const root = mkdtempSync(join(tmpdir(), 'ps-'))
afterAll(() => rmSync(root, { recursive: true }))

/** A socket whose process was killed: nobody listens there any more. */
async function deadSocket(name: string): Promise<string> {
  const path = join(root, name)
  const source = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } })
    process.stdout.write('listening')`
  const process = Bun.spawn([globalThis.process.execPath, '-e', source], {
    stdout: 'pipe',
    env: { BUN_BE_BUN: '1' },
  })
  await process.stdout.getReader().read()
  process.kill('SIGKILL')
  await process.exited
  expect(existsSync(path)).toBeTrue()
  return path
}

function folderOf(name: string): string {
  const folder = join(root, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'left'), '')
  return folder
}

test('folder, socket and metrics of a killed process are removed', async () => {
  const folder = folderOf('all')
  const path = await deadSocket('address')
  const metrics = await deadSocket('metrics')
  await removeSockets({ folder, address: { network: 'unix', path }, metrics })
  for (const gone of [folder, path, metrics]) expect(existsSync(gone)).toBeFalse()
})

test('a metrics socket on which another process listens stays', async () => {
  const metrics = join(root, 'living')
  const server = Bun.listen({ unix: metrics, socket: { data: () => undefined } })
  await removeSockets({ folder: folderOf('living-folder'), address: null, metrics })
  expect(existsSync(metrics)).toBeTrue()
  server.stop(true)
})

test('a file that is no socket stays, and what is gone already is no error', async () => {
  const file = join(root, 'file')
  writeFileSync(file, '')
  const address = { network: 'unix', path: file } as const
  await removeSockets({ folder: folderOf('files'), address, metrics: file })
  expect(existsSync(file)).toBeTrue()
  await removeSockets({ folder: join(root, 'gone'), address: null, metrics: join(root, 'gone') })
})
