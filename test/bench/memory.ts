/** Peak memory of the gateway while a client reads a large result far slower than it comes. */
import { startGateway } from '../kit/gateway.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { readCopy } from './copy.ts'
import { peakMemoryBytes } from './processor.ts'

export const PEAK_MEMORY_MB_MAX = 80

export interface MemoryOptions {
  readonly megabytes: number
  readonly megabytesPerSecond: number
  /** Called about once a second with what was read and the peak so far, in MB. */
  readonly onProgress: (readMegabytes: number, peakMegabytes: number) => void
}

/** The peak in MB (of 1,000,000 bytes), over the whole life of the gateway. */
export async function measureMemory(
  server: PostgresServer,
  { megabytes, megabytesPerSecond, onProgress }: MemoryOptions,
): Promise<number> {
  await using gateway = await startGateway({
    args: ['--upstream', `${server.host}:${server.port}`],
  })
  const peak = (): number => peakMemoryBytes(gateway.pid) / 1e6
  let toldAtMs = performance.now()
  await readCopy({
    host: gateway.host,
    port: gateway.port,
    user: server.user,
    database: server.database,
    megabytes,
    bytesPerSecond: megabytesPerSecond * 1e6,
    onProgress(bytes) {
      if (performance.now() - toldAtMs < 1_000) return
      toldAtMs = performance.now()
      onProgress(bytes / 1e6, peak())
    },
  })
  return peak()
}
