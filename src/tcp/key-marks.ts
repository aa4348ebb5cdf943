/**
 * The number of a worker in the keys for cancelling that it issues, by which a CancelRequest that
 * came to another one finds its way. A key begins with the four bytes that clients take for the id
 * of a process: no PostgreSQL has ids that begin with this mark, and 48 bits stay random.
 */

const MARK = 0x40
/** Length and code of a CancelRequest, in front of the key. */
const KEY_AT = 8

/** One for the process; null: it is the only one, and its keys need no mark. */
let own: number | null = null

/** Keys of this process are those of this worker from now on. */
export function markKeys(worker: number): void {
  own = worker
}

/** A key that this process is about to issue. */
export function marked(key: Uint8Array): Uint8Array {
  if (own === null) return key
  key[0] = MARK
  key[1] = own
  return key
}

/** The worker whose key a CancelRequest names; null where it was issued by a database. */
export function workerOfKey(request: Uint8Array): number | null {
  return request[KEY_AT] === MARK ? (request[KEY_AT + 1] ?? null) : null
}
