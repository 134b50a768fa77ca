// Program bench measures Usher side by side with nginx, haproxy and a ReverseProxy of the standard library.
//
// Every proxy is alone on one core (-proxy-cpu); load, backends and this program share another (-load-cpu). The figure is the CPU time
// that the proxy itself spent, user and system, for one request: unlike requests per second it holds on a machine that does other things
// too. Proxies take turns, A B C A B C, and a ratio compares measurements of the same round, so that noise that lasts longer than a round
// meets all of them:
//
//	round 1   nginx 28.9 us   haproxy 27.2 us   usher 26.1 us   usher/nginx 0.90
//	round 2   nginx 41.0 us   haproxy 38.5 us   usher 37.4 us   usher/nginx 0.91   (a compiler ran)
//	median                                                      usher/nginx 0.91
//
// All proxies add the same request headers (the bench asks a backend what arrived), keep their upstream connections, run one worker and
// write no access log, except in the scenario about it. Usher carries 10,000 other hosts in its table.
//
// The latency scenario compares p99 instead: see paced for what that is, and its row "direct", the load without a proxy, for how much of it
// is the machine's.
//
// A complete run writes RESULTS.md whole: figures, what they are beside the targets (goals.go), and the text of NOTES.md, which is written
// by hand and says where the time goes and what was tried.
//
// A scenario is a row of scenarios() in scenario.go, a proxy a row of proxies() in proxy.go with its configuration in config/. Everything
// the bench starts listens on loopback only, and is stopped by process id.
//
//	go run ./e2e/bench                                       # everything; writes RESULTS.md
//	go run ./e2e/bench -scenarios plain,tls -rounds 3        # a look; prints only
//	go run ./e2e/bench -scenarios h2 -proxies usher -profile /tmp/p
package main
