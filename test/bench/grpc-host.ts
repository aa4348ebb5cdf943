/**
 * A program: the gateway's own way to a gRPC plugin, without a gateway around it. It starts the
 * plugin named by its argument and calls OnTrafficFromClient as it is told on standard input: one
 * JSON object a line, one answer a line. `go-host/` does the same by HashiCorp's library.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pino } from 'pino'
import { z } from 'zod'
import { LastLines } from '../../src/plugins/grpc/last-lines.ts'
import { type Running, startPlugin } from '../../src/plugins/grpc/running.ts'
import { specOf } from '../fixtures/grpc/surroundings.ts'

const CALL_TIMEOUT_MS = 30_000

const orderLine = z.object({ bytes: z.number(), inFlight: z.number(), seconds: z.number() })
type Order = z.infer<typeof orderLine>

/** One call with all that a host does for it: encoded from plain values, and decoded to them. */
async function call(plugin: Running, request: Uint8Array): Promise<void> {
  const params = {
    client: { local: '127.0.0.1:15432', remote: '127.0.0.1:50001' },
    server: { local: '127.0.0.1:50002', remote: '127.0.0.1:5432' },
    error: '',
    request,
  }
  const result = await plugin.call('OnTrafficFromClient', params, CALL_TIMEOUT_MS)
  const returned = result['request']
  if (returned instanceof Uint8Array && returned.length === request.length) return
  throw new Error('the plugin did not return the request')
}

/** Calls one after another until the time is up; gives how long each took, in microseconds. */
async function callUntil(endsAtMs: number, plugin: Running, request: Uint8Array) {
  const taken: number[] = []
  for (let begin = performance.now(); begin < endsAtMs; ) {
    await call(plugin, request)
    const now = performance.now()
    taken.push((now - begin) * 1000)
    begin = now
  }
  return taken
}

async function measure(plugin: Running, { bytes, inFlight, seconds }: Order) {
  const request = new Uint8Array(bytes).fill(0x78)
  const startedAtMs = performance.now()
  const endsAtMs = startedAtMs + seconds * 1000
  const all = Array.from({ length: inFlight }, () => callUntil(endsAtMs, plugin, request))
  const micros = Float64Array.from((await Promise.all(all)).flat()).sort()
  return {
    calls: micros.length,
    seconds: (performance.now() - startedAtMs) / 1000,
    medianMicros: micros[Math.floor(micros.length / 2)] ?? 0,
  }
}

function answer(report: Readonly<Record<string, number>>): void {
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

async function serve(path: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'pb-'))
  try {
    const plugin = await startPlugin({
      plugin: 'echo',
      spec: specOf(resolve(path)),
      dev: true,
      socketFolder: folder,
      log: pino({ level: 'silent' }),
      signal: new AbortController().signal,
      lastLines: new LastLines(),
      lost: (_, error) => {
        throw error
      },
    })
    answer({ pluginPid: plugin.pid })
    for await (const line of createInterface({ input: process.stdin })) {
      answer(await measure(plugin, orderLine.parse(JSON.parse(line))))
    }
    await plugin.stop()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

await serve(process.argv[2] ?? '')
