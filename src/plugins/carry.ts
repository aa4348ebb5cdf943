/**
 * Which running plugins a reload keeps: those whose entry says the same as before, and whose file
 * is the same to the byte. Only the place in the order may be another.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Plugin, PluginSpec, PluginState } from './plugin.ts'

/** A plugin in one of these goes on as it is; any other is worth a new start. */
const ALIVE: readonly PluginState[] = ['ready', 'failing', 'restarting']

/** A plugin as one generation has it: with the entry by which that generation knows it. */
export interface Placed {
  readonly plugin: Plugin
  readonly spec: PluginSpec
}

/** True where both entries make the same plugin, wherever it stands in the order. */
export function isSamePlugin(one: PluginSpec, other: PluginSpec): boolean {
  return isDeepStrictEqual({ ...one, priority: 0 }, { ...other, priority: 0 })
}

/** The plugin among those that run now which the entry would only make again; else null. */
export async function carriedOver(
  spec: PluginSpec,
  running: readonly Placed[],
): Promise<Plugin | null> {
  const same = running.find((placed) => isSamePlugin(placed.spec, spec))
  if (same === undefined) return null
  const { state, checksum } = same.plugin.status()
  if (!ALIVE.includes(state) || checksum === '') return null
  return (await fileHash(spec.localPath)) === checksum ? same.plugin : null
}

interface Hashed {
  readonly stamp: string
  readonly hash: string
}

/** Files are hashed again only where something of them has changed. */
const hashes = new Map<string, Hashed>()
const HASHES_MAX = 1000

/** SHA-256 of a file, 64 hex digits; "" where it cannot be read. */
export async function fileHash(path: string): Promise<string> {
  try {
    const stamp = await stampOf(path)
    const known = hashes.get(path)
    if (known?.stamp === stamp) return known.hash
    const hash = new Bun.CryptoHasher('sha256')
    for await (const chunk of createReadStream(path)) hash.update(chunk)
    const found = hash.digest('hex')
    // What is written meanwhile has another stamp, and is read again.
    if (hashes.size >= HASHES_MAX) hashes.clear()
    hashes.set(path, { stamp, hash: found })
    return found
  } catch {
    return ''
  }
}

async function stampOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}
