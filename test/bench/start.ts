/** How long the executable takes from its start until a client can connect. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../kit/free-port.ts'
import { gatewayBinary } from '../kit/gateway.ts'
import type { WireAddress } from '../kit/wire.ts'
import { listens } from './targets.ts'

export const START_MS_MAX = 100

/** Milliseconds of each of `times` starts, seen from outside: spawn to accepted connection. */
export async function measureStarts(upstream: WireAddress, times: number): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-start-'))
  const taken: number[] = []
  try {
    for (let turn = 0; turn < times; turn++) taken.push(await measureStart(upstream, folder))
  } finally {
    rmSync(folder, { recursive: true })
  }
  return taken
}

async function measureStart(upstream: WireAddress, folder: string): Promise<number> {
  const port = await freePort()
  const metrics = await freePort()
  const startedAtMs = performance.now()
  const child = Bun.spawn(
    [
      gatewayBinary(),
      'run',
      ...['--upstream', `${upstream.host}:${upstream.port}`],
      ...['--listen', `127.0.0.1:${port}`],
      ...['--metrics', `127.0.0.1:${metrics}`],
    ],
    {
      cwd: folder,
      env: { PATH: process.env['PATH'], HOME: folder, XDG_RUNTIME_DIR: folder },
      stdio: ['ignore', 'ignore', 'ignore'],
    },
  )
  const isThere = await Promise.race([listens(port), child.exited.then(() => false)])
  const takenMs = performance.now() - startedAtMs
  child.kill('SIGKILL')
  await child.exited
  if (!isThere) throw new Error('the gateway did not listen')
  return takenMs
}
