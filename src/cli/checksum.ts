/** The SHA-256 of a file, read piece by piece: a plugin may be larger than one wants in memory. */
import { createReadStream } from 'node:fs'
import { GatewayError, sentenceOf } from '../base/errors.ts'

/** 64 lowercase hex digits. Throws PLUGIN_FILE, naming the file and why it cannot be read. */
export async function checksumOf(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher('sha256')
  try {
    for await (const chunk of createReadStream(path)) hasher.update(chunk)
  } catch (cause) {
    throw new GatewayError('PLUGIN_FILE', `${path} cannot be read (${sentenceOf(cause)})`)
  }
  return hasher.digest('hex')
}
