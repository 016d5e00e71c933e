package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// freeDoor finds a port that is free over UDP and TCP.
func freeDoor(ts *testscript.TestScript, _ bool, args []string) {
	name := "DOOR"
	if len(args) > 0 {
		name = args[0]
	}
	port, err := freePort()
	ts.Check(err)
	ts.Setenv(name, fmt.Sprint(port))
}

// nextDoor is what the next door is counted from.
var nextDoor atomic.Uint32

// freePort returns a port of loopback that is free over TCP and UDP, for a program
// that binds it later. The kernel would give one that it also gives to whoever
// connects or listens meanwhile; these are below its range, each is given once, and
// other test processes begin elsewhere.
func freePort() (uint16, error) {
	const first, doors = 20_000, 10_000
	var err error
	for range 100 {
		port := first + (os.Getpid()*37+int(nextDoor.Add(1)))%doors
		var l net.Listener
		if l, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			continue
		}
		var u *net.UDPConn
		u, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err = errors.Join(err, l.Close()); err != nil {
			continue
		}
		return uint16(port), u.Close()
	}
	return 0, fmt.Errorf("no port is free: %w", err)
}

// sendPackets sends files, each a packet, when a sensor has bound the port with
// all its sockets: what comes to the one by which it looks whether it is alone is
// lost.
func sendPackets(ts *testscript.TestScript, _ bool, args []string) {
	to, err := netip.ParseAddrPort("127.0.0.1:" + ts.Getenv("DOOR"))
	ts.Check(err)
	bound := fmt.Sprintf(":%04X 00000000:0000 ", to.Port())
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		table, err := os.ReadFile("/proc/net/udp")
		ts.Check(err)
		if strings.Count(string(table), bound) >= runtime.GOMAXPROCS(0) {
			break
		}
		if time.Since(began) > patience {
			ts.Fatalf("nobody listens at %s", to)
		}
	}
	conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(args[0]), 0)), net.UDPAddrFromAddrPort(to))
	ts.Check(err)
	defer conn.Close()
	for _, file := range args[1:] {
		_, err := conn.Write([]byte(strings.TrimSuffix(ts.ReadFile(file), "\n")))
		ts.Check(err)
	}
}

// signCertificates makes a CA and certificates for 127.0.0.1, each with the name
// that it is asked for.
func signCertificates(ts *testscript.TestScript, _ bool, names []string) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	write := func(file, kind string, der []byte) {
		ts.Check(os.WriteFile(ts.MkAbs(file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	ts.Check(err)
	write("ca.crt", "CERTIFICATE", der)
	for i, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		ts.Check(err)
		one := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 2)), Subject: pkix.Name{CommonName: name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		der, err := x509.CreateCertificate(rand.Reader, one, ca, key.Public(), caKey)
		ts.Check(err)
		write(name+".crt", "CERTIFICATE", der)
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		ts.Check(err)
		write(name+".key", "PRIVATE KEY", secret)
	}
}
