/** How many processes serve clients, and what of the limits each of them gets. */
import { availableParallelism } from 'node:os'
import { GatewayError } from '../base/errors.ts'
import { poolSize } from './pool-size.ts'
import type { Config, ServerConfig } from './schema.ts'

/** The number in effect: `auto` is one for each processor that this process may use. */
export function workersOf({ workers }: Pick<Config, 'workers'>): number {
  return workers === 'auto' ? availableParallelism() : workers
}

/**
 * A limit as one of several workers has it: whole numbers whose sum is the limit. The first ones
 * have one more where it cannot be divided.
 */
export function shareOf(limit: number, worker: number, workers: number): number {
  return Math.floor(limit / workers) + (worker < limit % workers ? 1 : 0)
}

/**
 * The configuration as one worker has it: the bytes that are held are divided. Pools are divided
 * where they are made, and clients are counted together, so that `sessionsMax` stays.
 */
export function configOfWorker(config: Config, worker: number, workers: number): Config {
  const ofWorker = (server: ServerConfig): ServerConfig => {
    const share = shareOf(server.bufferedBytesMax, worker, workers)
    // A message that is permitted must fit, whichever worker it comes to.
    return { ...server, bufferedBytesMax: Math.max(share, server.messageBytesMax) }
  }
  const all = Object.entries(config.servers).map(([group, server]) => [group, ofWorker(server)])
  const servers: Record<string, ServerConfig> = Object.fromEntries(all)
  return { ...config, servers: { ...servers, default: ofWorker(config.servers.default) } }
}

/** Throws CONFIG_INVALID where so many workers cannot share what is configured. */
export function refuseTooManyWorkers(config: Config): void {
  const workers = workersOf(config)
  if (workers === 1) return
  for (const [group, { network }] of Object.entries(config.servers)) {
    if (network !== 'udp') continue
    const problem = `servers.${group}.network: udp is served by one process, not by ${workers}`
    throw new GatewayError('CONFIG_INVALID', `${problem}; set workers: 1`)
  }
  for (const [group, blocks] of Object.entries(config.pools)) {
    for (const [block, pool] of Object.entries(blocks)) {
      if (pool.mode === 'none' || poolSize(pool.size) >= workers) continue
      const size = `pools.${group}.${block}.size: ${poolSize(pool.size)} connections`
      throw new GatewayError(
        'CONFIG_INVALID',
        `${size} cannot be shared by ${workers} workers, of which each needs one at least; ` +
          `make it ${workers} or more, or set fewer workers`,
      )
    }
  }
}

/** Throws RELOAD_REFUSED where a reload, or a plugin, wants another number than there is. */
export function refuseOtherWorkers(running: Config, next: Config): void {
  const [now, then] = [workersOf(running), workersOf(next)]
  if (now === then) return
  throw new GatewayError('RELOAD_REFUSED', `workers: ${now} cannot become ${then}; restart for it`)
}
