/** How a terminated route is served whose service speaks HTTP. */
export interface HttpRoute {
  /** `Host` becomes the name of the endpoint that is chosen, where it has one. */
  readonly autoHostRewrite: boolean;
  /**
   * A client that the permission denies is answered 403 for each request; otherwise its connection
   * is closed.
   */
  readonly answersDenied: boolean;
}
