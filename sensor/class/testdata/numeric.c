/* Reads hosts, one a line, and says which address getaddrinfo(3) makes of each
   without asking anybody: IPv4 as a dotted quad, "-" for none. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(void) {
	char line[512], text[64];
	while (fgets(line, sizeof line, stdin)) {
		struct addrinfo hint, *found = NULL;
		line[strcspn(line, "\n")] = 0;
		memset(&hint, 0, sizeof hint);
		hint.ai_family = AF_INET;
		hint.ai_flags = AI_NUMERICHOST;
		if (getaddrinfo(line, NULL, &hint, &found)) {
			puts("-");
			continue;
		}
		inet_ntop(AF_INET, &((struct sockaddr_in *)found->ai_addr)->sin_addr, text, sizeof text);
		puts(text);
		freeaddrinfo(found);
	}
	return 0;
}
