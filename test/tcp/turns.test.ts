/** Whose turn it is: workers that share a queue of clients get as many, and none waits for long. */
import { describe, expect, test } from 'bun:test'
import { type Door, Turns, TurnsPage, turnsBytes } from '../../src/tcp/turns.ts'

/** Clients that wait for any worker, and workers that take them while they are not resting. */
class Scene {
  readonly page: TurnsPage
  readonly turns: Turns[] = []
  readonly isOpen: boolean[] = []
  readonly took: number[] = []
  /** Told, and not yet heard. */
  readonly calls: number[] = []
  waiting = 0

  constructor(workers: number) {
    this.page = new TurnsPage(new Uint8Array(turnsBytes(workers)), workers)
    for (let worker = 0; worker < workers; worker++) {
      const door: Door = {
        pause: () => {
          this.isOpen[worker] = false
        },
        resume: () => {
          this.isOpen[worker] = true
        },
        look: () => undefined,
        hasWaiting: () => this.waiting > 0,
      }
      const call = (other: number): void => void this.calls.push(other)
      this.turns.push(new Turns({ page: this.page, worker, call }))
      this.isOpen.push(true)
      this.took.push(0)
      this.turns[worker]!.opened(door)
    }
  }

  /** One worker takes what it can, as the loop of the listener does. */
  take(worker: number): number {
    let taken = 0
    for (; this.isOpen[worker] && this.waiting > 0; taken++) {
      this.waiting -= 1
      this.took[worker]! += 1
      this.turns[worker]!.accepted(0)
    }
    return taken
  }

  hearCalls(): void {
    for (const worker of this.calls.splice(0)) this.turns[worker]!.resume()
  }

  /** Lets all workers do what they can until nobody waits. */
  settle(): void {
    for (let round = 0; this.waiting > 0; round++) {
      if (round > 1000) throw new Error(`${this.waiting} clients wait for ever`)
      for (const worker of this.turns.keys()) this.take(worker)
      this.hearCalls()
    }
  }
}

describe('a burst', () => {
  test.each([
    [2, 20],
    [2, 21],
    [3, 100],
    [8, 1000],
  ])('of clients before %d workers: each gets its share of %d', (workers, clients) => {
    const scene = new Scene(workers)
    scene.waiting = clients
    scene.settle()
    expect(scene.took.reduce((sum, one) => sum + one)).toBe(clients)
    const equal = clients / workers
    for (const took of scene.took) expect(Math.abs(took - equal)).toBeLessThanOrEqual(equal * 0.1)
  })

  test('before one worker that is quicker than the others is left to them', () => {
    const scene = new Scene(2)
    scene.waiting = 20
    expect(scene.take(0)).toBe(2)
    expect(scene.isOpen).toEqual([false, true])
  })
})

test('a worker that is alone never rests', () => {
  const scene = new Scene(1)
  scene.waiting = 500
  expect(scene.take(0)).toBe(500)
})

test('a worker that rests goes on when its sessions have ended', () => {
  const scene = new Scene(2)
  scene.waiting = 2
  scene.take(0)
  expect(scene.isOpen[0]).toBeFalse()
  scene.turns[0]!.ended(0)
  expect(scene.isOpen[0]).toBeFalse()
  scene.turns[0]!.ended(0)
  expect(scene.isOpen[0]).toBeTrue()
})

describe('a worker with the fewest sessions that does not come', () => {
  test('leaves clients to the others, more at each look', () => {
    const scene = new Scene(2)
    scene.waiting = 100
    const taken = [scene.take(0)]
    for (let look = 0; look < 4; look++) {
      scene.turns[0]!.check()
      taken.push(scene.take(0))
    }
    expect(taken).toEqual([2, 2, 3, 5, 9])
  })

  test('comes to its own again: nobody goes on with what was permitted meanwhile', async () => {
    const scene = new Scene(2)
    scene.waiting = 40
    scene.take(0)
    while (scene.waiting > 0) {
      scene.turns[0]!.check()
      scene.take(0)
    }
    while (scene.isOpen[0]) await Bun.sleep(1)
    scene.waiting = 20
    expect([scene.take(0), scene.take(1)]).toEqual([0, 20])
  })

  test('and has gone is not waited for', () => {
    const scene = new Scene(2)
    scene.waiting = 100
    scene.take(0)
    scene.page.clear(1)
    scene.turns[0]!.resume()
    expect(scene.take(0)).toBe(98)
  })

  test('is looked for a little later, without anybody asking', async () => {
    const scene = new Scene(2)
    scene.waiting = 3
    scene.take(0)
    expect(scene.isOpen[0]).toBeFalse()
    while (!scene.isOpen[0]) await Bun.sleep(1)
    expect(scene.take(0)).toBe(1)
  })
})

test('a worker that accepts nowhere any more counts its sessions, and is not waited for', () => {
  const scene = new Scene(2)
  const door: Door = { pause() {}, resume() {}, look() {}, hasWaiting: () => false }
  const other = new Turns({ page: scene.page, worker: 1, call() {} })
  other.opened(door)
  other.accepted(3)
  other.closed(door)
  scene.waiting = 50
  expect(scene.take(0)).toBe(50)
  expect(scene.page.inGroup(3)).toBe(1)
  other.ended(3)
  expect(scene.page.inGroup(3)).toBe(0)
  expect(scene.turns[0]!.inGroup(0)).toBe(50)
})
